import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type App, app } from '../../test/kit/app.ts';
import { memberFixture } from '../../test/kit/member-fixture.ts';

describe('MemberService', () => {
  let the: App;

  before(async () => {
    the = await app();
    await the.start();
  });
  after(() => the.close());

  const { members, channels, send } = memberFixture(() => the);

  describe('GetUnreadSummary', () => {
    it('counts all channels in one response, the latest first, muted ones not in the total', async () => {
      const me = { userId: 50n, tenantId: 5n };
      const you = { userId: 51n, tenantId: 5n };
      const ids: bigint[] = [];
      for (const name of ['một', 'im', 'lặng', 'cất', 'đọc rồi']) {
        const { channel } = await channels(you).createChannel({ name, memberUserIds: [50n] });
        ids.push(channel?.id ?? 0n);
      }
      const [one = 0n, quiet = 0n, muted = 0n, archived = 0n, read = 0n] = ids;
      for (const channelId of [read, archived, muted, muted, one, one, one]) await send(channelId, you);
      await send(one, me);
      await members(me).markRead({ channelId: read, all: true });
      await the.owner`update channel_members set is_muted = true where channel_id = ${muted} and user_id = 50`;
      await the.owner`update channels set is_archived = true where id = ${archived}`;
      await the.owner`update channels set last_message_at = 1000 where id = ${muted}`;
      const summary = await members(me, 1, 'web').getUnreadSummary({});
      assert.deepEqual(
        summary.entries.map(({ channelId, unreadCount }) => [channelId, unreadCount]),
        [
          [one, 3],
          [muted, 2],
        ],
      );
      assert.equal(summary.totalUnreadCount, 3n);
      assert.equal(summary.entries[1]?.lastMessageTime?.seconds, 1n);
      assert.ok(quiet > 0n);
      const outsider = await members({ userId: 50n, tenantId: 6n }).getUnreadSummary({});
      assert.deepEqual([outsider.entries, outsider.totalUnreadCount], [[], 0n]);
    });
  });
});
