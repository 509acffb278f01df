import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService, ChannelClosedReason as Reason } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberRole } from '#gen/serp/discuss/v1/member_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app, CONCURRENT } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';

const user = (id: number): As => ({ userId: BigInt(id), tenantId: 1n });
const [ana, binh, chi, stranger] = [user(1), user(2), user(3), user(99)];
const foreigner = { userId: 1n, tenantId: 2n };
const crm = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };

describe('archiving, deleting and browsing channels', () => {
  let the: App;

  before(async () => {
    the = await app(CONCURRENT);
    await the.start();
  });
  after(() => the.close());

  const channels = (as: As, instance = 0) => the.client(ChannelService, as, 'grpc', instance);
  const send = (as: As, channelId: bigint) =>
    the.client(MessageService, as).sendMessage({ channelId, content: 'tin' });
  const group = async (name = 'nhóm', isPrivate = false, as = ana) => {
    const { channel } = await channels(as).createChannel({
      name,
      private: isPrivate,
      memberUserIds: [2n, 3n],
    });
    const channelId = channel?.id ?? 0n;
    await the.client(MemberService, as).updateMemberRole({ channelId, userId: 2n, role: MemberRole.ADMIN });
    return channelId;
  };
  const topic = async (entityId: bigint) => {
    const request = {
      entity: { type: 'order', id: entityId },
      name: `Đơn ${entityId}`,
      memberUserIds: [1n, 2n],
    };
    return channels(crm).getOrCreateTopicChannel(request);
  };

  describe('ArchiveChannel and UnarchiveChannel', () => {
    it('make a channel read-only and writable again, with one event each', async () => {
      const channelId = await group();
      const stream = await new Subscriber(the.client(EventService, chi, 'web', 1), [channelId]).connect();
      const { channel } = await channels(ana).archiveChannel({ channelId });
      assert.equal(channel?.archived, true);
      assert.deepEqual((await channels(ana, 1).archiveChannel({ channelId })).channel, channel);
      await rejects(send(binh, channelId), Code.FailedPrecondition, 'CHANNEL_ARCHIVED');
      await the.client(MessageService, binh).listMessages({ channelId });
      const lists = async (archived: boolean) =>
        (await channels(binh).listChannels({ archived })).entries.some(
          (entry) => entry.channel?.id === channelId,
        );
      assert.deepEqual([await lists(true), await lists(false)], [true, false]);
      const open = await channels(crm).unarchiveChannel({ channelId });
      await channels(ana).unarchiveChannel({ channelId });
      await send(binh, channelId);
      await until(() => stream.changes.length === 3);
      const reported = stream.changes.flatMap(({ change }) =>
        change.case === 'channelChanged' ? [change.value.channel] : [],
      );
      assert.deepEqual(reported, [channel, open.channel]);
      await stream.disconnect();
    });

    it('are allowed for owners and services', async () => {
      const [shown, hidden] = [await group(), await group('kín', true)];
      for (const name of ['archiveChannel', 'unarchiveChannel', 'deleteChannel'] as const) {
        for (const as of [binh, chi, stranger, { ...crm, userId: 99n }])
          await rejects(channels(as)[name]({ channelId: shown }), Code.PermissionDenied, 'ROLE_TOO_LOW');
        for (const as of [stranger, foreigner, { ...crm, userId: 99n }])
          await rejects(channels(as)[name]({ channelId: hidden }), Code.NotFound, 'CHANNEL_NOT_FOUND');
        const { channel } = await channels(ana).getOrCreateDirectChannel({ userId: 2n });
        const direct = channels(ana)[name]({ channelId: channel?.id ?? 0n });
        await rejects(direct, Code.FailedPrecondition, 'CHANNEL_IS_DIRECT');
      }
    });
  });

  describe('DeleteChannel', () => {
    it('closes the channel on every stream of every instance and makes it NOT_FOUND for all callers', async () => {
      const [channelId, other] = [await group(), await group()];
      await send(ana, channelId);
      const streams = await Promise.all([
        new Subscriber(the.client(EventService, ana), [channelId, other]).connect(),
        new Subscriber(the.client(EventService, binh, 'web', 1)).connect(),
        new Subscriber(the.client(EventService, chi, 'grpc', 1), [channelId]).connect(),
      ]);
      await channels(ana).deleteChannel({ channelId });
      for (const stream of streams) {
        await until(() => stream.count('channelClosed') === 1);
        const { channelId: closed, reason } = stream.last('channelClosed')?.value ?? {};
        assert.deepEqual([closed, reason], [channelId, Reason.DELETED]);
        assert.deepEqual(
          stream.events.map(({ change }) => change.case),
          ['channelDeleted'],
        );
      }
      await send(ana, other);
      await until(() => streams[0]?.events.length === 2 && streams[1]?.events.length === 2);
      await Promise.all(streams.map((stream) => stream.disconnect()));
      for (const as of [ana, binh, stranger, crm])
        await rejects(channels(as).getChannel({ channelId }), Code.NotFound, 'CHANNEL_NOT_FOUND');
      await rejects(channels(ana).deleteChannel({ channelId }), Code.NotFound, 'CHANNEL_NOT_FOUND');
      await rejects(send(ana, channelId), Code.NotFound, 'CHANNEL_NOT_FOUND');
      const late = new Subscriber(the.client(EventService, binh));
      late.cursors.set(channelId, 1n);
      await late.connect();
      await until(() => late.count('channelClosed') === 1);
      assert.deepEqual(late.events, []);
      await late.disconnect();
    });

    it('leaves no readable message or member when joins and messages run concurrently', async () => {
      const channelId = await group();
      const calls = Array.from({ length: 20 }, (_, index) => [
        the.client(MemberService, user(200 + index), 'grpc', index % 2).joinChannel({ channelId }),
        send(binh, channelId),
      ]).flat();
      const deleting = channels(ana).deleteChannel({ channelId });
      const outcomes = await Promise.allSettled(calls);
      await deleting;
      for (const outcome of outcomes)
        if (outcome.status === 'rejected')
          await rejects(Promise.reject(outcome.reason), Code.NotFound, 'CHANNEL_NOT_FOUND');
      const rows = await the.owner<{ kind: string }[]>`
        select kind from channel_events where channel_id = ${channelId} order by seq
      `;
      assert.equal(rows.at(-1)?.kind, 'CHANNEL_DELETED');
    });

    it('allows a new channel for the entity and for the pair of users', async () => {
      const first = await topic(7n);
      await channels(crm).deleteChannel({ channelId: first.channel?.id ?? 0n });
      const again = await Promise.all(Array.from({ length: 10 }, () => topic(7n)));
      assert.equal(new Set(again.map(({ channel }) => channel?.id)).size, 1);
      assert.notEqual(again[0]?.channel?.id, first.channel?.id);
      const { channel } = await channels(ana).getOrCreateDirectChannel({ userId: 3n });
      await channels(crm).deleteChannel({ channelId: channel?.id ?? 0n });
      const created = await Promise.all([
        channels(ana).getOrCreateDirectChannel({ userId: 3n }),
        channels(chi, 1).getOrCreateDirectChannel({ userId: 1n }),
      ]);
      assert.equal(created[0]?.channel?.id, created[1]?.channel?.id);
      assert.notEqual(created[0]?.channel?.id, channel?.id);
    });
  });

  describe('BrowseChannels', () => {
    const tenantId = 7n;
    const [an, bao] = [1n, 2n].map((userId) => ({ userId, tenantId })) as [As, As];
    const browse = async (as: As, query = '', pageSize = 0) => {
      const names: string[] = [];
      for (let pageToken = ''; ; ) {
        const page = await channels(as).browseChannels({ query, pageSize, pageToken });
        names.push(...page.entries.map(({ channel }) => channel?.name ?? ''));
        pageToken = page.nextPageToken;
        if (pageToken === '') return names;
      }
    };
    before(async () => {
      for (const name of [
        'Kế toán',
        'Đơn hàng PO-2024',
        'kho Hà Nội',
        'Kho Đà Nẵng',
        'an toàn 100%',
        'bỏ',
        'cất',
      ])
        await channels(an).createChannel({ name });
      await channels(an).createChannel({ name: 'Kho kín', private: true });
      await channels(crm)
        .createChannel({ name: 'Kho khác' })
        .catch(() => {});
      await channels(foreigner).createChannel({ name: 'Kho người khác' });
      const { entries } = await channels(an).browseChannels({});
      const find = (name: string) => entries.find(({ channel }) => channel?.name === name)?.channel?.id ?? 0n;
      await channels(an).deleteChannel({ channelId: find('bỏ') });
      await channels(an).archiveChannel({ channelId: find('cất') });
      await the.client(MemberService, bao).joinChannel({ channelId: find('Kế toán') });
    });

    it('lists public groups by name in pages of any size', async () => {
      const all = ['an toàn 100%', 'Đơn hàng PO-2024', 'Kế toán', 'Kho Đà Nẵng', 'kho Hà Nội'];
      for (const pageSize of [0, 1, 2, 5]) assert.deepEqual(await browse(bao, '', pageSize), all);
    });

    it('finds words and parts with and without diacritics', async () => {
      const found: [string, string[]][] = [
        ['KHO', ['Kho Đà Nẵng', 'kho Hà Nội']],
        ['ha noi', ['kho Hà Nội']],
        ['nẵ kho', ['Kho Đà Nẵng']],
        ['toan', ['an toàn 100%', 'Kế toán']],
        ['po-2024', ['Đơn hàng PO-2024']],
        ['đơn', ['Đơn hàng PO-2024']],
        ['100%', ['an toàn 100%']],
        ['o', []],
        ['zzz', []],
      ];
      for (const [query, names] of found) assert.deepEqual(await browse(bao, query), names, query);
      const nothing = channels(bao).browseChannels({ query: '%%' });
      await rejects(nothing, Code.InvalidArgument, 'FIELD_INVALID');
    });

    it('returns the caller’s membership of each group', async () => {
      const { entries } = await channels(bao).browseChannels({});
      const joined = entries.filter(({ membership }) => membership !== undefined);
      assert.deepEqual(
        joined.map(({ channel, membership }) => [channel?.name, membership?.role]),
        [['Kế toán', MemberRole.MEMBER]],
      );
    });
  });

  describe('ListTrendingChannels', () => {
    it('lists the groups with the most messages that the caller can see', async () => {
      const tenantId = 8n;
      const [an, bao] = [1n, 9n].map((userId) => ({ userId, tenantId })) as [As, As];
      const posts: [string, boolean, number][] = [
        ['vắng', false, 0],
        ['ít', false, 1],
        ['kín', true, 3],
        ['nhiều', false, 4],
        ['bỏ', false, 5],
      ];
      for (const [name, isPrivate, count] of posts) {
        const channelId = await group(name, isPrivate, an);
        for (let sent = 0; sent < count; sent += 1) await send(an, channelId);
        if (name === 'bỏ') await channels(an).deleteChannel({ channelId });
      }
      const trend = async (as: As, pageSize = 0) =>
        (await channels(as).listTrendingChannels({ pageSize })).entries.map((entry) => [
          entry.channel?.name,
          entry.recentMessageCount,
        ]);
      const shown = [
        ['nhiều', 4],
        ['ít', 1],
      ];
      assert.deepEqual(await trend(bao), shown);
      assert.deepEqual(await trend({ ...bao, roles: ['discuss.service'] }), shown);
      assert.deepEqual(await trend(an, 2), [
        ['nhiều', 4],
        ['kín', 3],
      ]);
      assert.deepEqual(await trend({ userId: 1n, tenantId: 88n }), []);
    });
  });
});
