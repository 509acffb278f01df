import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { activityFixture } from '../../test/kit/activity-fixture.ts';
import { type App, type As, app, CONCURRENT } from '../../test/kit/app.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';

describe('activities of reactions', () => {
  let the: App;

  before(async () => {
    the = await app(CONCURRENT);
    await the.start();
  });
  after(() => the.close());

  const { someone, activityClient, messages, list, group, send } = activityFixture(() => the);

  it('collapses reactions to a message until they are read, and records none twice', async () => {
    const [lan, minh, thu] = [someone('Lan'), someone('Minh'), someone('Thu')];
    const channelId = await group(lan, minh, thu);
    const messageId = await send(minh, channelId, 'hay');
    const react = (as: As, emoji: string) => messages(as).addReaction({ channelId, messageId, emoji });
    await react(lan, '👍');
    await react(lan, '👍');
    await messages(lan).removeReaction({ channelId, messageId, emoji: '👍' });
    await react(lan, '👍');
    await react(minh, '👍');
    await react(thu, '🎉');
    const [activity, ...more] = await list(minh);
    assert.deepEqual(more, []);
    assert.equal(activity?.description, 'Thu reacted 🎉 to your message in Kho vận');
    assert.equal(activity.count, 2);
    await activityClient(minh).markActivityRead({ activityIds: [activity.id] });
    await react(lan, '🚀');
    assert.deepEqual(
      (await list(minh)).map(({ read, count }) => [read, count]),
      [
        [false, 1],
        [true, 2],
      ],
    );
    await Promise.all(
      Array.from({ length: 20 }, () => someone('Ai')).map(async (as) => {
        await the.client(MemberService, lan).addMembers({ channelId, userIds: [as.userId] });
        await react(as, '👍');
      }),
    );
    assert.equal((await list(minh))[0]?.count, 21);
  });

  it('lose removed reactions while they are unread', async () => {
    const [lan, minh, thu] = [someone('Lan'), someone('Minh'), someone('Thu')];
    const channelId = await group(lan, minh, thu);
    const messageId = await send(minh, channelId, 'hay');
    const stream = await new Subscriber(the.client(EventService, minh, 'grpc', 1)).connect();
    const react = (as: As, emoji: string) => messages(as).addReaction({ channelId, messageId, emoji });
    const unreact = (as: As, emoji: string) => messages(as).removeReaction({ channelId, messageId, emoji });
    const shown = async () =>
      (await list(minh)).map(({ actorId, count, read, description }) => [actorId, count, read, description]);
    const text = (name: string, emoji: string) => `${name} reacted ${emoji} to your message in Kho vận`;
    await react(lan, '👍');
    await react(thu, '🎉');
    await react(thu, '👍');
    const { snapshotToken } = await activityClient(minh).listActivities({});
    const [shownThree] = await list(minh);
    await unreact(thu, '👍');
    assert.deepEqual(await shown(), [[thu.userId, 2, false, text('Thu', '🎉')]]);
    const [shownTwo] = await list(minh);
    assert.deepEqual([shownThree?.version, shownTwo?.version], [3, 4], 'a removal is a newer state');
    await unreact(thu, '🎉');
    await unreact(thu, '🎉');
    assert.deepEqual(await shown(), [[lan.userId, 1, false, text('Lan', '👍')]]);
    await activityClient(minh).markAllActivitiesRead({ snapshotToken });
    assert.deepEqual(await shown(), [[lan.userId, 1, true, text('Lan', '👍')]], 'it was shown, and more');
    await react(thu, '🚀');
    // One that was read already is not in the new one.
    await unreact(lan, '👍');
    assert.deepEqual((await shown())[0], [thu.userId, 1, false, text('Thu', '🚀')]);
    const [gone] = await list(minh);
    await unreact(thu, '🚀');
    assert.deepEqual(await shown(), [[lan.userId, 1, true, text('Lan', '👍')]]);
    await until(() => stream.last('activityRemoved')?.value.activityId === gone?.id);
    assert.equal((await activityClient(minh).getActivityCounts({})).unreadCount, 0);
    await stream.disconnect();
  });

  it('count the exact reactions after concurrent adds and removals', async () => {
    const people = Array.from({ length: 12 }, (_, index) => someone(`Người ${index}`));
    const minh = someone('Minh');
    const channelId = await group(minh, ...people);
    const messageId = await send(minh, channelId, 'hay');
    for (let round = 0; round < 4; round += 1) {
      await Promise.all(
        people.flatMap((as) => [
          messages(as).addReaction({ channelId, messageId, emoji: '👍' }),
          messages(as).removeReaction({ channelId, messageId, emoji: '👍' }),
          messages(as).addReaction({ channelId, messageId, emoji: '🎉' }),
        ]),
      );
      const { message } = await messages(minh).getMessage({ channelId, messageId });
      const given = (message?.reactions ?? []).reduce((sum, { userIds }) => sum + userIds.length, 0);
      assert.deepEqual(
        (await list(minh)).map(({ count }) => count),
        [given],
      );
    }
  });
});
