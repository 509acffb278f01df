import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { after, afterEach, before, describe, it, mock } from 'node:test';
import { Code, ConnectError } from '@connectrpc/connect';
import { ErrorInfoSchema } from '#gen/google/rpc/error_details_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { FakeDirectory } from '../../test/kit/directory.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { until } from '../../test/kit/until.ts';

const lan: As = { userId: 1n, tenantId: 1n };
const binh: As = { userId: 2n, tenantId: 1n };
const stranger: As = { userId: 3n, tenantId: 1n };
const foreigner: As = { userId: 1n, tenantId: 2n };
const crm: As = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };
const TOKEN = 'secret-of-the-directory';

// Users 1 to 40 of tenant 1, and 1 and 50 of tenant 2.
const USERS = [...Array.from({ length: 40 }, (_, index) => `1:${index + 1}`), '2:1', '2:50'];

describe('with a directory', () => {
  let directory: FakeDirectory;
  let the: App;

  before(async () => {
    directory = await FakeDirectory.open(USERS);
    the = await app({
      DIRECTORY_URL: directory.url,
      DIRECTORY_TOKEN: TOKEN,
      DIRECTORY_TIMEOUT_MS: '10000',
      DIRECTORY_REQUESTS: '4',
    });
    // A second instance, whose cache holds three users, and which waits less.
    await the.start({ DIRECTORY_CACHE_USERS: '3', DIRECTORY_TIMEOUT_MS: '1000' });
  });
  afterEach(() => {
    directory.fault = undefined;
    directory.received.length = 0;
  });
  after(async () => {
    await the.close();
    await directory.stop();
  });

  const channels = (as: As, instance = 0) => the.client(ChannelService, as, 'grpc', instance);
  const members = (as: As, instance = 0) => the.client(MemberService, as, 'grpc', instance);
  const group = async (as: As, rest: object = {}) => {
    const { channel } = await channels(as).createChannel({ name: 'Kho', private: true, ...rest });
    return channel?.id ?? 0n;
  };
  const rowsOf = async (tenantId: bigint) => {
    const [row] = await the.owner<{ channels: number; members: number; events: number }[]>`
      select
        (select count(*)::int from channels where tenant_id = ${tenantId}) as channels,
        (select count(*)::int from channel_members where tenant_id = ${tenantId}) as members,
        (select count(*)::int from channel_events where tenant_id = ${tenantId}) as events
    `;
    return row;
  };
  const assertUnknown = async (call: Promise<unknown>, ids: string, count: number) => {
    const error = await rejects(call, Code.NotFound, 'USER_NOT_FOUND');
    const [info] = error.findDetails(ErrorInfoSchema);
    assert.deepEqual(info?.metadata['user_ids'], ids);
    assert.equal(info?.metadata['user_count'], `${count}`);
  };
  const assertUnavailable = (call: Promise<unknown>) =>
    rejects(call, Code.Unavailable, 'DIRECTORY_UNAVAILABLE');

  it('no RPC adds a user of another tenant or of none, and none changes anything then', async () => {
    const channelId = await group(lan);
    const rows = await rowsOf(1n);
    const entity = { type: 'order', id: 1n };
    const crmForNobody: As = { ...crm, userId: 900n };
    await assertUnknown(group(lan, { memberUserIds: [2n, 50n, 901n] }), '50,901', 2);
    await assertUnknown(members(lan).addMembers({ channelId, userIds: [901n, 3n] }), '901', 1);
    await assertUnknown(channels(lan).getOrCreateDirectChannel({ userId: 50n }), '50', 1);
    const topic = { entity, name: 'Đơn 1', memberUserIds: [2n, 902n] };
    await assertUnknown(channels(crm).getOrCreateTopicChannel(topic), '902', 1);
    const owned = { ...topic, memberUserIds: [2n] };
    await assertUnknown(channels(crmForNobody).getOrCreateTopicChannel(owned), '900', 1);
    assert.deepEqual(await rowsOf(1n), rows);
    await assertUnknown(
      group(lan, { memberUserIds: Array.from({ length: 500 }, (_, index) => 1_000n + BigInt(index)) }),
      Array.from({ length: 20 }, (_, index) => `${1_000 + index}`).join(','),
      500,
    );
  });

  it('all RPCs add known users', async () => {
    const channelId = await group(lan, { memberUserIds: [2n] });
    const { added } = await members(lan).addMembers({ channelId, userIds: [3n, 4n] });
    assert.equal(added.length, 2);
    assert.ok((await channels(lan).getOrCreateDirectChannel({ userId: 5n })).created);
    const entity = { type: 'order', id: 2n };
    const topic = { entity, name: 'Đơn 2', memberUserIds: [6n] };
    assert.ok((await channels({ ...crm, userId: 7n }).getOrCreateTopicChannel(topic)).created);
    const open = await group(lan, { private: false });
    await members({ ...crm, userId: 8n }).joinChannel({ channelId: open });
    await rejects(
      members({ ...crm, userId: 900n }).joinChannel({ channelId: open }),
      Code.NotFound,
      'USER_NOT_FOUND',
    );
  });

  it('a merge of topics adds only users that are still known, and fails while that is unknown', async () => {
    const topic = async (id: bigint, memberUserIds: bigint[]) => {
      const entity = { type: 'order', id };
      const { channel } = await channels({ ...crm, userId: 1n }, 1).getOrCreateTopicChannel({
        entity,
        name: `Đơn ${id}`,
        memberUserIds,
      });
      return { entity, channelId: channel?.id ?? 0n };
    };
    const from = await topic(71n, [24n, 25n, 26n]);
    const to = await topic(72n, [24n]);
    await the.owner`
      insert into channel_members (channel_id, user_id, tenant_id, joined_at, created_at, updated_at)
      values (${from.channelId}, 905, 1, 0, 0, 0)
    `;
    const move = () =>
      channels(crm, 1).moveTopic({ fromEntity: from.entity, toEntity: to.entity, requestId });
    const requestId = randomUUID();
    directory.fault = (response) => response.writeHead(500).end();
    await assertUnavailable(move());
    directory.fault = undefined;
    const { channel, mergedChannelId } = await move();
    assert.deepEqual([channel?.id, mergedChannelId], [to.channelId, from.channelId]);
    const rows = await the.owner<{ userId: bigint }[]>`
      select user_id from channel_members where channel_id = ${to.channelId} order by user_id
    `;
    assert.deepEqual(
      rows.map(({ userId }) => userId),
      [1n, 24n, 25n, 26n],
    );
    directory.fault = (response) => response.writeHead(500).end();
    assert.equal((await move()).channel?.id, to.channelId);
  });

  it('requests name the tenant, have the token, and are not repeated for cached users', async () => {
    await group(lan, { memberUserIds: [10n, 11n] });
    await group(lan, { memberUserIds: [10n, 11n, 12n] });
    await group(lan, { memberUserIds: [12n] });
    await group(foreigner, { memberUserIds: [50n] });
    const authorization = `Bearer ${TOKEN}`;
    assert.deepEqual(directory.received, [
      { authorization, tenantId: '1', userIds: ['10', '11'] },
      { authorization, tenantId: '1', userIds: ['12'] },
      { authorization, tenantId: '2', userIds: ['50'] },
    ]);
    const now = Date.now.bind(Date);
    const clock = mock.method(Date, 'now', () => now() + 61_000);
    try {
      await group(lan, { memberUserIds: [10n] });
      assert.equal(directory.received.length, 4);
    } finally {
      clock.mock.restore();
    }
  });

  it('the cache is bounded', async () => {
    const add = (userId: bigint) => channels(lan, 1).createChannel({ name: 'Kho', memberUserIds: [userId] });
    for (const userId of [20n, 21n, 22n, 23n, 23n, 22n, 21n]) await add(userId);
    assert.equal(directory.received.length, 4);
    await add(20n);
    assert.equal(directory.received.length, 5);
  });

  it('access is checked first', async () => {
    const channelId = await group(lan);
    const call = members(stranger).addMembers({ channelId, userIds: [901n] });
    await rejects(call, Code.NotFound, 'CHANNEL_NOT_FOUND');
  });

  it('no user is added while it fails, and everything else continues', async () => {
    const requestId = randomUUID();
    const channelId = await group(lan, { requestId, memberUserIds: [30n] });
    const later = Date.now.bind(Date);
    // The cache does not help.
    const clock = mock.method(Date, 'now', () => later() + 61_000);
    try {
      const faults: ((response: ServerResponse) => void)[] = [
        (response) => response.writeHead(500).end(),
        (response) => response.writeHead(302, { location: '/elsewhere' }).end(),
        (response) => response.destroy(),
        (response) => response.end('not JSON'),
        (response) => response.end('{"userIds": [31]}'),
        (response) => response.end('{}'),
        (response) => response.end(`{"userIds": ["31"], "more": "${'x'.repeat(70_000)}"}`),
        () => {},
      ];
      for (const fault of faults) {
        directory.fault = fault;
        await assertUnavailable(members(lan, 1).addMembers({ channelId, userIds: [31n] }));
      }
      directory.fault = undefined;
      await directory.stop();
      await assertUnavailable(members(lan).addMembers({ channelId, userIds: [31n] }));
      await assertUnavailable(channels(lan).getOrCreateDirectChannel({ userId: 32n }));
      // What adds nobody does not need it.
      assert.equal(await group(lan, { requestId, memberUserIds: [30n] }), channelId);
      assert.deepEqual((await members(lan).addMembers({ channelId, userIds: [30n] })).added, []);
      await the.client(MessageService, lan).sendMessage({ channelId, content: 'xin chào' });
      await group(lan);
    } finally {
      clock.mock.restore();
      await directory.start();
    }
    const { added } = await members(lan).addMembers({ channelId, userIds: [31n] });
    assert.equal(added.length, 1);
  });

  it('a slow one delays only the calls that need it, until their deadline, and leaves room for other tenants', async () => {
    const channelId = await group(lan);
    const held: ServerResponse[] = [];
    directory.fault = (response) => void held.push(response);
    const slow = members(lan).addMembers({ channelId, userIds: [33n] });
    await until(() => held.length === 1, 'the request');
    // Holds neither the channel's lock nor the tenant's other calls.
    await the.client(MessageService, lan).sendMessage({ channelId, content: 'xin chào' });
    await assertUnavailable(members(lan).addMembers({ channelId, userIds: [34n] }));
    assert.equal(held.length, 1, 'a tenant has a quarter of the requests');
    directory.fault = undefined;
    await group(foreigner, { memberUserIds: [50n] });
    held[0]?.end('{"userIds": ["33"]}');
    assert.equal((await slow).added.length, 1);
    directory.fault = () => {};
    const hurried = members(lan).addMembers({ channelId, userIds: [35n] }, { timeoutMs: 200 });
    const error = await hurried.then(() => undefined, ConnectError.from);
    assert.equal(error?.code, Code.DeadlineExceeded);
  });
});

describe('without a directory', () => {
  it('every user id is accepted', async () => {
    const the = await app();
    await the.client(ChannelService, lan).createChannel({ name: 'Kho', memberUserIds: [999n] });
    await the.client(ChannelService, binh).getOrCreateDirectChannel({ userId: 998n });
    await the.close();
  });
});
