import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ChannelType } from '#gen/serp/discuss/v1/channel_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app, type Edge } from '../../test/kit/app.ts';
import { fieldsOf } from '../../test/kit/rejects.ts';

const crm = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };

describe('ChannelService', () => {
  let the: App;

  before(async () => {
    the = await app();
    await the.start();
  });
  after(() => the.close());

  const channels = (as: As, instance = 0, edge: Edge = 'grpc') =>
    the.client(ChannelService, as, edge, instance);
  const messages = (as: As) => the.client(MessageService, as);

  describe('ListChannels', () => {
    const tenantId = 30n;
    const me = { userId: 1n, tenantId };
    const you = { userId: 2n, tenantId };
    const ids = new Map<string, bigint>();
    const names = (entries: readonly { channel?: { name: string } | undefined }[]) =>
      entries.map(({ channel }) => channel?.name ?? '');

    before(async () => {
      for (const name of ['im 1', 'a', 'b', 'im 2', 'c', 'ghim', 'cất']) {
        const { channel } = await channels(me).createChannel({ name, memberUserIds: [2n] });
        ids.set(name, channel?.id ?? 0n);
      }
      const topic = await channels({ ...crm, tenantId }).getOrCreateTopicChannel({
        entity: { type: 'lead', id: 5n },
        name: 'khách',
        memberUserIds: [1n],
      });
      ids.set('khách', topic.channel?.id ?? 0n);
      const direct = await channels(me).getOrCreateDirectChannel({ userId: 2n });
      ids.set('', direct.channel?.id ?? 0n);
      await channels(you).createChannel({ name: 'không phải của tôi' });
      for (const name of ['cất', 'ghim', 'a', 'b', 'c', ''])
        await messages(you).sendMessage({ channelId: ids.get(name) ?? 0n, content: `trong ${name}` });
      // The clock may not move between messages; these must differ.
      for (const [index, name] of ['cất', 'ghim', 'a', 'b', 'c', ''].entries())
        await the.owner`update channels set last_message_at = ${BigInt(1_000 + index)} where id = ${ids.get(name) ?? 0n}`;
      await the.owner`
        update channel_members set is_pinned = true where user_id = 1 and channel_id = any(${[ids.get('ghim') ?? 0n, ids.get('im 2') ?? 0n].map(String)}::bigint[])
      `;
      await the.owner`update channels set is_archived = true where id = ${ids.get('cất') ?? 0n}`;
      await the.client(MemberService, me).markRead({ channelId: ids.get('b') ?? 0n, all: true });
    });

    it('orders pinned channels first, then by latest message, channels without messages last', async () => {
      const { entries, nextPageToken } = await channels(me).listChannels({});
      assert.deepEqual(names(entries), ['ghim', 'im 2', '', 'c', 'b', 'a', 'khách', 'im 1']);
      assert.equal(nextPageToken, '');
      const [first] = entries;
      const read = await channels(me).getChannel({ channelId: ids.get('ghim') ?? 0n });
      assert.deepEqual(first?.channel, read.channel);
      assert.deepEqual(first?.membership, read.membership);
      assert.equal(first?.headSeq, read.headSeq);
      assert.equal(first?.membership?.unreadCount, 1);
      assert.equal(first?.membership?.pinned, true);
      assert.equal(first?.lastMessage?.content, 'trong ghim');
    });

    it('returns the same list in pages of any size, without channels of others', async () => {
      const all = names((await channels(me).listChannels({})).entries);
      for (const pageSize of [1, 2, 3, 7, 8, 100]) {
        const paged: string[] = [];
        let pageToken = '';
        do {
          const page = await channels(me, 1, 'web').listChannels({ pageSize, pageToken });
          assert.ok(page.entries.length <= pageSize);
          paged.push(...names(page.entries));
          pageToken = page.nextPageToken;
        } while (pageToken !== '');
        assert.deepEqual(paged, all, `pages of ${pageSize}`);
      }
      assert.deepEqual((await channels({ ...me, tenantId: 31n }).listChannels({})).entries, []);
    });

    it('filters by type, pin, unread, kind of entity and archive', async () => {
      const listed = async (filter: object) => names((await channels(me).listChannels(filter)).entries);
      assert.deepEqual(await listed({ types: [ChannelType.DIRECT, ChannelType.TOPIC] }), ['', 'khách']);
      assert.deepEqual(await listed({ pinnedOnly: true }), ['ghim', 'im 2']);
      assert.deepEqual(await listed({ unreadOnly: true }), ['ghim', '', 'c', 'a']);
      assert.deepEqual(await listed({ entityType: 'lead' }), ['khách']);
      assert.deepEqual(await listed({ entityType: 'order' }), []);
      assert.deepEqual(await listed({ archived: true }), ['cất']);
      assert.deepEqual(await listed({ archived: true, pinnedOnly: true }), []);
    });

    it('returns the newest message that is not deleted, cut to 200 characters', async () => {
      const channelId = ids.get('im 1') ?? 0n;
      const last = async () => {
        const { entries } = await channels(me).listChannels({});
        return entries.find(({ channel }) => channel?.id === channelId)?.lastMessage;
      };
      assert.equal(await last(), undefined);
      await messages(you).sendMessage({ channelId, content: 'trước' });
      const { message: first } = await messages(you).sendMessage({ channelId, content: 'ố'.repeat(500) });
      const { message: second } = await messages(you).sendMessage({
        channelId,
        content: 'sau',
        mentionUserIds: [1n],
      });
      assert.deepEqual(await last(), second);
      await the.owner`update messages set is_deleted = true where id = ${second?.id ?? 0n}`;
      assert.equal((await last())?.content, 'ố'.repeat(200));
      assert.equal((await last())?.id, first?.id);
      await the.owner`update messages set is_deleted = true where id = ${first?.id ?? 0n}`;
      assert.equal((await last())?.content, 'trước');
      await the.owner`update messages set is_deleted = true where channel_id = ${channelId}`;
      assert.equal(await last(), undefined);
    });

    it('rejects a page token that this method did not return', async () => {
      for (const pageToken of ['x', Buffer.from('["1"]').toString('base64url')])
        assert.deepEqual(await fieldsOf(channels(me).listChannels({ pageToken })), ['page_token']);
      assert.deepEqual(await fieldsOf(channels(me).listChannels({ pageSize: -1 })), ['page_size']);
      assert.deepEqual(await fieldsOf(channels(me).listChannels({ types: [0] })), ['types[0]']);
    });
  });
});
