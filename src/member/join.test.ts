import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberRole } from '#gen/serp/discuss/v1/member_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app, CONCURRENT } from '../../test/kit/app.ts';
import { memberFixture } from '../../test/kit/member-fixture.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';

const MAX_MEMBERS = 60;

const user = (id: number): As => ({ userId: BigInt(id), tenantId: 1n });
const [ana, binh, chi, dung, stranger] = [user(1), user(2), user(3), user(4), user(99)];
const foreigner = { userId: 1n, tenantId: 2n };
const crm = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };
const { MEMBER, ADMIN, OWNER } = MemberRole;

describe('MemberService', () => {
  let the: App;

  before(async () => {
    the = await app({ ...CONCURRENT, CHANNEL_MAX_MEMBERS: `${MAX_MEMBERS}` });
    await the.start();
  });
  after(() => the.close());

  const { members, channels, groupByCalls: group, list, archive } = memberFixture(() => the);

  describe('JoinChannel', () => {
    it('adds the caller as a member once, also for a repeated call', async () => {
      const channelId = await group();
      await the.client(MessageService, ana).sendMessage({ channelId, content: 'trước' });
      const { channel, membership } = await members(binh).joinChannel({ channelId });
      assert.deepEqual([channel?.memberCount, membership?.role, membership?.unreadCount], [2, MEMBER, 0]);
      const again = await members(binh, 1).joinChannel({ channelId });
      assert.deepEqual(again, { ...again, channel, membership });
      const { headSeq } = await channels(binh).getChannel({ channelId });
      // Created with its first member, the message, the joining and its notice.
      assert.equal(headSeq, 5n);
      assert.equal((await members(ana).joinChannel({ channelId })).membership?.role, OWNER);
    });

    it('adds 50 users who each call twice concurrently, with one event and count each', async () => {
      const channelId = await group();
      const stream = await new Subscriber(the.client(EventService, ana), [channelId]).connect();
      const joining = Array.from({ length: 50 }, (_, index) => user(100 + index));
      await Promise.all(
        [...joining, ...joining].map((as, index) => members(as, index % 2).joinChannel({ channelId })),
      );
      const found = await list(channelId);
      assert.equal(found.length, 51);
      assert.equal((await channels(ana).getChannel({ channelId })).channel?.memberCount, 51);
      await until(() => stream.events.length === 100);
      const reported = stream.changes.flatMap(({ change }) =>
        change.case === 'membersJoined' ? change.value.members.map(({ userId }) => userId) : [],
      );
      assert.deepEqual(
        reported.toSorted((a, b) => Number(a - b)),
        joining.map(({ userId }) => userId),
      );
      assert.deepEqual(stream.faults, []);
      await stream.disconnect();
    });

    it('enforces the member limit for concurrent calls', async () => {
      const channelId = await group();
      const answers = await Promise.allSettled(
        Array.from({ length: MAX_MEMBERS + 4 }, (_, index) =>
          members(user(100 + index)).joinChannel({ channelId }),
        ),
      );
      assert.equal(answers.filter(({ status }) => status === 'fulfilled').length, MAX_MEMBERS - 1);
      await rejects(members(stranger).joinChannel({ channelId }), Code.FailedPrecondition, 'CHANNEL_FULL');
    });

    it('re-adds users who left or were removed, with existing history marked read', async () => {
      const channelId = await group({ 2: ADMIN, 3: MEMBER });
      await members(binh).leaveChannel({ channelId });
      await members(ana).removeMember({ channelId, userId: 3n });
      await the.client(MessageService, ana).sendMessage({ channelId, content: 'không ai đọc' });
      const left = await members(binh).joinChannel({ channelId });
      const removed = await members(chi).joinChannel({ channelId });
      assert.deepEqual([left.membership?.role, left.membership?.unreadCount], [MEMBER, 0]);
      assert.equal(removed.channel?.memberCount, 3);
    });

    it('adds the channel to the streams of the new member', async () => {
      const channelId = await group();
      const stream = await new Subscriber(the.client(EventService, dung, 'web', 1)).connect();
      await members(dung).joinChannel({ channelId });
      await until(() => stream.cursors.get(channelId) === 4n);
      await the.client(MessageService, ana).sendMessage({ channelId, content: 'chào Dung' });
      await until(() => stream.messages(channelId).length === 1);
      await stream.disconnect();
    });

    it('is allowed for public groups that are not archived', async () => {
      const [hidden, archived] = [await group({}, true), await group({ 2: MEMBER })];
      await archive(archived);
      const { channel: direct } = await channels(ana).getOrCreateDirectChannel({ userId: 2n });
      const { channel: topic } = await channels(crm).getOrCreateTopicChannel({
        entity: { type: 'order', id: 1n },
        name: 'Đơn 1',
      });
      const join = (as: As, channelId = 0n) => members(as).joinChannel({ channelId });
      for (const channelId of [hidden, direct?.id, topic?.id])
        await rejects(join(stranger, channelId), Code.NotFound, 'CHANNEL_NOT_FOUND');
      await rejects(join(foreigner, archived), Code.NotFound, 'CHANNEL_NOT_FOUND');
      await rejects(join(stranger, archived), Code.FailedPrecondition, 'CHANNEL_ARCHIVED');
      assert.equal((await join(binh, archived)).membership?.role, MEMBER);
      await rejects(join(crm, archived), Code.PermissionDenied, 'CALLER_NOT_ALLOWED');
    });
  });
});
