import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberRole } from '#gen/serp/discuss/v1/member_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from './kit/app.ts';
import { rejects } from './kit/rejects.ts';
import { Subscriber } from './kit/stream.ts';
import { until } from './kit/until.ts';

const user = (id: number): As => ({ userId: BigInt(id), tenantId: 1n });
const [ana, binh, chi] = [user(1), user(2), user(3)];

describe('etags', () => {
  let testApp: App;

  before(async () => {
    testApp = await app();
    await testApp.start();
  });
  after(() => testApp.close());

  const channels = (as: As, instance = 0) => testApp.client(ChannelService, as, 'grpc', instance);
  const members = (as: As, instance = 0) => testApp.client(MemberService, as, 'web', instance);
  const group = async () => {
    const { channel } = await channels(ana).createChannel({ name: 'nhóm', memberUserIds: [2n] });
    return channel?.id ?? 0n;
  };
  const channel = async (channelId: bigint) => (await channels(ana, 1).getChannel({ channelId })).channel;
  const rename = (channelId: bigint, name: string, etag: string, instance = 0) =>
    channels(ana, instance).updateChannel({ channelId, name, etag, updateMask: { paths: ['name'] } });
  const isStale = (call: Promise<unknown>) => rejects(call, Code.Aborted, 'ETAG_MISMATCH');

  it('of channels are the same in reads and events, and change with settings only', async () => {
    const channelId = await group();
    const stream = await new Subscriber(testApp.client(EventService, binh, 'web', 1), [channelId]).connect();
    const first = await channel(channelId);
    await testApp.client(MessageService, binh).sendMessage({ channelId, content: 'tin' });
    await members(ana).addMembers({ channelId, userIds: [3n] });
    assert.equal((await channel(channelId))?.etag, first?.etag);
    const renamed = await rename(channelId, 'kho', first?.etag ?? '');
    assert.notEqual(renamed.channel?.etag, first?.etag);
    assert.equal((await channel(channelId))?.etag, renamed.channel?.etag);
    const { entries } = await channels(binh).listChannels({});
    assert.ok(entries.some((entry) => entry.channel?.etag === renamed.channel?.etag));
    await until(() => stream.changes.some(({ change }) => change.case === 'channelChanged'));
    const { change } = stream.changes.find((event) => event.change.case === 'channelChanged') ?? {};
    assert.ok(change?.case === 'channelChanged');
    assert.equal(change.value.channel?.etag, renamed.channel?.etag);
    await stream.disconnect();
  });

  it('let one of two concurrent changes of a version through, and its retries', async () => {
    const channelId = await group();
    const etag = (await channel(channelId))?.etag ?? '';
    const names = ['một', 'hai'];
    const outcomes = await Promise.allSettled(
      names.map((name, instance) => rename(channelId, name, etag, instance)),
    );
    const winner = outcomes.findIndex(({ status }) => status === 'fulfilled');
    const loser = outcomes[1 - winner];
    assert.ok(loser?.status === 'rejected');
    await isStale(Promise.reject(loser.reason));
    const name = names[winner] ?? '';
    assert.equal((await channel(channelId))?.name, name);
    assert.equal((await rename(channelId, name, etag, 1)).channel?.name, name);
    await isStale(rename(channelId, names[1 - winner] ?? '', etag));
  });

  it('of an earlier version prevent archiving, unarchiving and deletion', async () => {
    const channelId = await group();
    const etag = (await channel(channelId))?.etag ?? '';
    const renamed = await rename(channelId, 'khác', '');
    await isStale(channels(ana).archiveChannel({ channelId, etag }));
    await isStale(channels(ana).deleteChannel({ channelId, etag }));
    const current = renamed.channel?.etag ?? '';
    const archived = await channels(ana).archiveChannel({ channelId, etag: current });
    assert.deepEqual(await channels(ana, 1).archiveChannel({ channelId, etag: current }), archived);
    await isStale(channels(ana).unarchiveChannel({ channelId, etag: current }));
    await rejects(channels(binh).deleteChannel({ channelId, etag }), Code.PermissionDenied, 'ROLE_TOO_LOW');
    await channels(ana).deleteChannel({ channelId, etag: archived.channel?.etag ?? '' });
  });

  it('of members change with the role and with a new membership', async () => {
    const channelId = await group();
    const find = async (userId: bigint) =>
      (await members(ana).listMembers({ channelId })).members.find((member) => member.userId === userId);
    const give = (role: MemberRole, etag: string) =>
      members(ana).updateMemberRole({ channelId, userId: 2n, role, etag });
    const etag = (await find(2n))?.etag ?? '';
    const { member } = await give(MemberRole.ADMIN, etag);
    assert.equal((await find(2n))?.etag, member?.etag);
    assert.deepEqual((await give(MemberRole.ADMIN, etag)).member, member);
    await isStale(give(MemberRole.GUEST, etag));
    const remove = (version = '') => members(ana).removeMember({ channelId, userId: 2n, etag: version });
    await isStale(remove(etag));
    await remove(member?.etag);
    await remove(member?.etag);
    await members(ana).addMembers({ channelId, userIds: [2n], role: MemberRole.ADMIN });
    await isStale(remove(member?.etag));
    assert.equal((await find(2n))?.role, MemberRole.ADMIN);
  });

  it('of a membership change with its settings, not with its counts', async () => {
    const channelId = await group();
    const own = async () => (await channels(binh).getChannel({ channelId })).membership;
    const set = (fields: object, etag: string) =>
      members(binh).updateMembership({
        channelId,
        updateMask: { paths: Object.keys(fields) },
        ...fields,
        etag,
      });
    const etag = (await own())?.etag ?? '';
    await testApp.client(MessageService, ana).sendMessage({ channelId, content: 'tin' });
    assert.deepEqual([(await own())?.unreadCount, (await own())?.etag], [1, etag]);
    const { membership } = await set({ pinned: true, metadata: { color: '#f00' } }, etag);
    assert.equal((await own())?.etag, membership?.etag);
    await set({ pinned: true, metadata: { color: '#f00' } }, etag);
    await isStale(set({ muted: true }, etag));
    await set({ muted: true }, membership?.etag ?? '');
    assert.deepEqual([(await own())?.pinned, (await own())?.muted], [true, true]);
  });

  it('are checked only for callers who may make the change, and have a maximum length', async () => {
    const channelId = await group();
    const update = { channelId, name: 'x', updateMask: { paths: ['name'] } };
    await rejects(
      channels(chi).updateChannel({ ...update, etag: 'x' }),
      Code.PermissionDenied,
      'ROLE_TOO_LOW',
    );
    const long = channels(ana).updateChannel({ ...update, etag: 'x'.repeat(65) });
    await rejects(long, Code.InvalidArgument, 'FIELD_INVALID');
  });
});
