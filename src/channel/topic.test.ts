import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { ChannelType } from '#gen/serp/discuss/v1/channel_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberRole } from '#gen/serp/discuss/v1/member_pb.ts';
import { type App, type As, app, CONCURRENT, type Edge } from '../../test/kit/app.ts';
import { ascending } from '../../test/kit/ascending.ts';
import { loggedEvents } from '../../test/kit/logged-events.ts';
import { fieldsOf, rejects } from '../../test/kit/rejects.ts';

const ana = { userId: 1n, tenantId: 1n };
const binh = { userId: 2n, tenantId: 1n };
const chi = { userId: 3n, tenantId: 1n };
const foreigner = { userId: 1n, tenantId: 2n };
const crm = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };
const crmFor = (userId: bigint) => ({ ...crm, userId });

describe('ChannelService', () => {
  let the: App;

  before(async () => {
    the = await app(CONCURRENT);
    await the.start();
  });
  after(() => the.close());

  const channels = (as: As, instance = 0, edge: Edge = 'grpc') =>
    the.client(ChannelService, as, edge, instance);
  const events = (channelId: bigint) => loggedEvents(the, channelId);

  describe('GetOrCreateTopicChannel', () => {
    const order = { name: 'Đơn hàng PO-2024-001' };
    const orderId = (id: bigint) => ({ type: 'order', id });

    it('creates one channel for 30 concurrent calls with one entity, and adds all members', async () => {
      const answers = await Promise.all(
        Array.from({ length: 30 }, (_, index) =>
          channels(crm, index % 2).getOrCreateTopicChannel({
            ...order,
            entity: orderId(1n),
            memberUserIds: [1n, BigInt(10 + index)],
          }),
        ),
      );
      assert.equal(new Set(answers.map(({ channel }) => channel?.id)).size, 1);
      assert.equal(answers.filter(({ created }) => created).length, 1);
      const channelId = answers[0]?.channel?.id ?? 0n;
      const { channel, membership } = await channels(ana).getChannel({ channelId });
      assert.equal(channel?.type, ChannelType.TOPIC);
      assert.equal(channel.entity?.type, 'order');
      assert.equal(channel.entity.id, 1n);
      assert.equal(channel.private, true);
      assert.equal(channel.creatorId, 0n);
      assert.equal(channel.memberCount, 31);
      assert.equal(membership?.role, MemberRole.MEMBER);
      const joined = (await events(channelId)).flatMap(({ change }) =>
        change.case === 'membersJoined' ? change.value.members.map(({ userId }) => userId) : [],
      );
      assert.deepEqual(joined.toSorted(ascending), [
        1n,
        ...Array.from({ length: 30 }, (_, index) => BigInt(10 + index)),
      ]);
    });

    it('changes nothing when the channel exists with its members', async () => {
      const request = { ...order, entity: orderId(2n), memberUserIds: [1n, 2n] };
      const first = await channels(crm).getOrCreateTopicChannel(request);
      const again = await channels(crm, 1).getOrCreateTopicChannel({ ...request, name: 'khác' });
      assert.equal(again.created, false);
      assert.deepEqual(again.channel, first.channel);
      assert.equal((await events(first.channel?.id ?? 0n)).length, 2);
    });

    it('makes the user that a service acts for the owner', async () => {
      const made = await channels(crmFor(3n)).getOrCreateTopicChannel({
        ...order,
        entity: orderId(3n),
        memberUserIds: [3n, 1n],
      });
      const { membership } = await channels(chi).getChannel({ channelId: made.channel?.id ?? 0n });
      assert.equal(membership?.role, MemberRole.OWNER);
      assert.equal(made.channel?.creatorId, 3n);
      assert.equal(made.channel.memberCount, 2);
      const other = await channels(crmFor(4n)).getOrCreateTopicChannel({
        ...order,
        entity: orderId(3n),
        memberUserIds: [2n],
      });
      assert.equal(other.channel?.id, made.channel.id);
      assert.equal(other.channel.memberCount, 3);
    });

    it('is allowed for services, creates one channel per tenant, visible to its members', async () => {
      const request = { ...order, entity: orderId(4n), memberUserIds: [1n] };
      await rejects(
        channels(ana).getOrCreateTopicChannel(request),
        Code.PermissionDenied,
        'CALLER_NOT_ALLOWED',
      );
      const made = await channels(crm).getOrCreateTopicChannel(request);
      const channelId = made.channel?.id ?? 0n;
      for (const as of [binh, foreigner, crmFor(2n), { ...crm, tenantId: 2n }])
        await rejects(channels(as).getChannel({ channelId }), Code.NotFound, 'CHANNEL_NOT_FOUND');
      assert.ok((await channels(crm).getChannel({ channelId })).channel);
      const elsewhere = await channels({ ...crm, tenantId: 2n }).getOrCreateTopicChannel(request);
      assert.equal(elsewhere.created, true);
    });

    it('returns an archived channel and rejects new members for it', async () => {
      const request = { ...order, entity: orderId(5n), memberUserIds: [1n] };
      const made = await channels(crm).getOrCreateTopicChannel(request);
      await the.owner`update channels set is_archived = true where id = ${made.channel?.id ?? 0n}`;
      const again = await channels(crm).getOrCreateTopicChannel(request);
      assert.equal(again.channel?.archived, true);
      const more = channels(crm).getOrCreateTopicChannel({ ...request, memberUserIds: [1n, 2n] });
      await rejects(more, Code.FailedPrecondition, 'CHANNEL_ARCHIVED');
    });

    it('rejects an invalid entity type, and a service call without a tenant', async () => {
      for (const type of ['', 'Order', '1x', 'x'.repeat(101), 'a b'])
        assert.deepEqual(
          await fieldsOf(channels(crm).getOrCreateTopicChannel({ ...order, entity: { type, id: 1n } })),
          ['entity.type'],
        );
      assert.deepEqual(await fieldsOf(channels(crm).getOrCreateTopicChannel(order)), ['entity']);
      const nowhere = channels({ ...crm, tenantId: 0n }).getOrCreateTopicChannel({
        ...order,
        entity: orderId(1n),
      });
      assert.deepEqual(await fieldsOf(nowhere), ['x-tenant-id']);
    });
  });
});
