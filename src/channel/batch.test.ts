import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import {
  type BatchGetChannelsResponse,
  type ChannelRefSchema,
  ChannelService,
} from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberRole } from '#gen/serp/discuss/v1/member_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';

type Ref = MessageInitShape<typeof ChannelRefSchema>;

const user = (userId: bigint, tenantId = 1n): As => ({ userId, tenantId });
const [ana, binh] = [user(1n), user(2n)];
const crm: As = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };

const byId = (id: bigint): Ref => ({ ref: { case: 'channelId', value: id } });
const byOrder = (id: bigint): Ref => ({ ref: { case: 'entity', value: { type: 'order', id } } });

describe('ChannelService', () => {
  let the: App;
  const ids = { open: 0n, closed: 0n, topic: 0n, foreign: 0n };

  before(async () => {
    the = await app();
    ids.open = await group('Mở', {});
    ids.closed = await group('Kín', { private: true });
    ids.foreign = await group('Xa', {}, user(1n, 2n));
    const entity = { type: 'order', id: 7n };
    const { channel } = await the
      .client(ChannelService, crm)
      .getOrCreateTopicChannel({ entity, name: 'Đơn', memberUserIds: [1n] });
    ids.topic = channel?.id ?? 0n;
    const toEntity = { type: 'task', id: 8n };
    await the.client(ChannelService, crm).moveTopic({ fromEntity: entity, toEntity });
  });
  after(() => the.close());

  async function group(name: string, fields: object, as = ana): Promise<bigint> {
    const { channel } = await the.client(ChannelService, as).createChannel({ name, ...fields });
    return channel?.id ?? 0n;
  }

  const get = (as: As, refs: Ref[]) => the.client(ChannelService, as).batchGetChannels({ refs });
  const found = ({ entries }: BatchGetChannelsResponse) => entries.map(({ channel }) => channel?.id);

  describe('BatchGetChannels', () => {
    it('returns channels by id and by entity in the order of the request, and names the missing ones', async () => {
      const refs = [
        byOrder(7n),
        byId(999n),
        byId(ids.closed),
        byOrder(9n),
        byId(ids.topic),
        byId(ids.closed),
      ];
      for (const as of [ana, crm, { ...ana, roles: ['discuss.service'] }]) {
        const response = await get(as, refs);
        assert.deepEqual(found(response), [ids.topic, ids.closed, ids.topic, ids.closed]);
        assert.deepEqual(
          response.entries.map(({ ref }) => ref?.ref.case),
          ['entity', 'channelId', 'channelId', 'channelId'],
        );
        assert.deepEqual(
          response.missing.map(({ ref }) => (ref.case === 'entity' ? ref.value.id : ref.value)),
          [999n, 9n],
        );
        assert.deepEqual(response.remaining, []);
      }
    });

    it('returns the same channel and state as GetChannel', async () => {
      await the.client(MessageService, ana).sendMessage({ channelId: ids.closed, content: 'chào' });
      for (const as of [ana, crm]) {
        const [entry] = (await get(as, [byId(ids.closed)])).entries;
        const single = await the.client(ChannelService, as).getChannel({ channelId: ids.closed });
        const { channel, membership, headSeq } = entry ?? {};
        assert.deepEqual(
          { channel, membership, headSeq },
          { channel: single.channel, membership: single.membership, headSeq: single.headSeq },
        );
        assert.equal(membership?.role, as === ana ? MemberRole.OWNER : undefined);
      }
    });

    it('treats channels that the caller cannot see as missing', async () => {
      const refs = [byId(ids.closed), byId(ids.open), byId(ids.foreign), byId(ids.topic), byOrder(7n)];
      const response = await get(binh, refs);
      assert.deepEqual([found(response), response.missing.length], [[ids.open], 4]);
      // A service for a user has the rights of that user.
      assert.deepEqual(found(await get({ ...binh, roles: ['discuss.service'] }, refs)), [ids.open]);
      assert.deepEqual(found(await get({ ...crm, tenantId: 2n }, refs)), [ids.foreign]);
      assert.deepEqual(found(await get({ ...crm, tenants: [2n], actsIn: 2n }, refs)), [ids.foreign]);
    });

    it('rejects empty, too long and malformed requests', async () => {
      const refs = Array.from({ length: 101 }, () => byId(ids.open));
      for (const request of [[], refs, [{}], [byId(0n)], [byOrder(0n)]])
        await rejects(get(ana, request), Code.InvalidArgument, 'FIELD_INVALID');
      assert.equal((await get(ana, refs.slice(1))).entries.length, 100);
    });
  });

  describe('ListTenantChannels', () => {
    const list = async (as: As, pageSize: number, between = async () => {}) => {
      const seen: bigint[] = [];
      for (let pageToken = ''; ; ) {
        const page = await the.client(ChannelService, as).listTenantChannels({ pageToken, pageSize });
        seen.push(...page.entries.map(({ channel }) => channel?.id ?? 0n));
        if (page.nextPageToken === '') return seen;
        pageToken = page.nextPageToken;
        await between();
      }
    };

    it('returns every channel of the tenant once, in the order of ids, while they change', async () => {
      const as = user(3n, 3n);
      const service = { ...crm, tenantId: 3n };
      const own: bigint[] = [];
      for (let index = 0; index < 7; index += 1) own.push(await group(`Kho ${index}`, {}, as));
      const { channel } = await the.client(ChannelService, as).getOrCreateDirectChannel({ userId: 4n });
      own.push(channel?.id ?? 0n);
      const change = async () => {
        for (const channelId of own.slice(0, 7)) {
          await the
            .client(MessageService, as)
            .sendMessage({ channelId, content: 'x' })
            .catch(() => {});
          const client = the.client(ChannelService, as);
          const { channel } = await client.getChannel({ channelId });
          if (channel?.archived) await client.unarchiveChannel({ channelId });
          else await client.archiveChannel({ channelId });
        }
      };
      for (const pageSize of [1, 3, 100]) assert.deepEqual(await list(service, pageSize, change), own);
      await the.client(ChannelService, as).deleteChannel({ channelId: own[2] ?? 0n });
      assert.deepEqual(await list(service, 3), own.toSpliced(2, 1));
    });

    it('is reserved for services that act for themselves in a tenant that their token names', async () => {
      const call = (as: As) => the.client(ChannelService, as).listTenantChannels({});
      for (const as of [ana, { ...ana, roles: ['discuss.service'] }, { ...crm, actsIn: 2n }])
        await rejects(call(as), Code.PermissionDenied, 'CALLER_NOT_ALLOWED');
      await rejects(call({ ...crm, tenantId: 0n, tenants: '*' }), Code.InvalidArgument, 'FIELD_INVALID');
      const named = await call({ ...crm, tenantId: 0n, tenants: [2n], actsIn: 2n });
      assert.deepEqual(
        named.entries.map(({ channel }) => channel?.id),
        [ids.foreign],
      );
      assert.ok((named.entries[0]?.headSeq ?? 0n) > 0n);
    });
  });
});
