import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { feedOf } from '../../test/kit/activity-feed.ts';
import { activityFixture } from '../../test/kit/activity-fixture.ts';
import { type App, app, CONCURRENT } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';

const crm = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };

describe('RecordActivities', () => {
  let the: App;

  before(async () => {
    the = await app(CONCURRENT);
    await the.start();
  });
  after(() => the.close());

  const { someone, activityClient, list, group, task } = activityFixture(() => the);

  it('collapses forty concurrent changes of one order into one activity, on streams, too', async () => {
    const [minh, thu] = [someone('Minh'), someone('Thu')];
    const streams = await Promise.all(
      [0, 1].map((instance) => new Subscriber(the.client(EventService, minh, 'grpc', instance)).connect()),
    );
    const change = (index: number) => ({
      activities: [task([minh, thu], { collapseKey: 'sales:order:9', description: `thay đổi ${index}` })],
    });
    await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        activityClient(crm, index % 2).recordActivities(change(index)),
      ),
    );
    for (const as of [minh, thu]) {
      const [activity, ...more] = await list(as);
      assert.deepEqual([activity?.count, activity?.version, more.length], [40, 40, 0]);
    }
    // In any order, because both instances send them.
    for (const stream of streams) {
      await until(() => stream.count('activity') === 40, 'the states of the activity');
      const [activity, ...more] = feedOf(stream);
      assert.deepEqual([activity?.count, more.length], [40, 0]);
      await stream.disconnect();
    }
    await activityClient(crm).recordActivities(change(40));
    const [last] = await list(minh);
    assert.deepEqual([last?.count, last?.description], [41, 'thay đổi 40']);
    await activityClient(minh).markAllActivitiesRead({});
    await activityClient(crm).recordActivities({
      activities: [...change(41).activities, ...change(42).activities],
    });
    assert.deepEqual(
      (await list(minh)).map(({ count, description, read }) => [count, description, read]),
      [
        [2, 'thay đổi 42', false],
        [41, 'thay đổi 40', true],
      ],
    );
  });

  it('records a request once, for repeated calls on all instances', async () => {
    const minh = someone('Minh');
    const request = {
      requestId: randomUUID(),
      activities: [task([minh], { collapseKey: 'một' }), task([minh])],
    };
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => activityClient(crm, index % 2).recordActivities(request)),
    );
    assert.equal(answers.filter(({ repeatedRequest }) => !repeatedRequest).length, 1);
    assert.deepEqual(
      (await list(minh)).map(({ count }) => count),
      [1, 1],
    );
    await rejects(
      activityClient(crm).recordActivities({ ...request, activities: [task([minh])] }),
      Code.AlreadyExists,
      'REQUEST_ID_REUSED',
    );
  });

  it('records for the named users only, in the tenant of the service', async () => {
    const [lan, minh, thu] = [someone('Lan'), someone('Minh'), someone('Thu')];
    const namesake = { ...minh, tenantId: 2n };
    const channelId = await group(lan, minh);
    const { recordedCount } = await activityClient(crm).recordActivities({
      activities: [
        task([lan, minh, minh, thu], { channelId, actorId: lan.userId, metadata: { ưu_tiên: 1 } }),
      ],
    });
    assert.equal(recordedCount, 1);
    const [activity] = await list(minh);
    assert.deepEqual(activity?.metadata, { ưu_tiên: 1 });
    assert.deepEqual([await list(lan), await list(thu), await list(namesake)], [[], [], []]);
    const abroad = { ...crm, tenantId: 2n };
    await activityClient(abroad).recordActivities({ activities: [task([minh], { channelId })] });
    assert.deepEqual(await list(namesake), []);
    assert.equal((await list(minh)).length, 1);
  });

  it('accepts activities of services only, within bounds', async () => {
    const minh = someone('Minh');
    await rejects(
      activityClient(minh).recordActivities({ activities: [task([minh])] }),
      Code.PermissionDenied,
      'CALLER_NOT_ALLOWED',
    );
    const wrong = [
      task([minh], { entity: undefined }),
      task([minh], { entity: { type: 'task', id: 0n }, channelId: 1n }),
      task([minh], { entity: { type: 'Task', id: 1n } }),
      task([minh], { type: 'task' }),
      task([minh], { type: 'A'.repeat(101) }),
      task([minh], { description: '' }),
      task([minh], { description: 'x'.repeat(1_001) }),
      task([minh], { title: 'x'.repeat(256) }),
      task([minh], { metadata: { text: 'x'.repeat(8_200) } }),
      task([minh], { collapseKey: 'reaction:1' }),
      task([]),
    ];
    for (const activity of wrong)
      await rejects(
        activityClient(crm).recordActivities({ activities: [activity] }),
        Code.InvalidArgument,
        'FIELD_INVALID',
      );
    const many = Array.from({ length: 1_000 }, (_, index) => ({
      userId: BigInt(index + 10_000),
      tenantId: 1n,
    }));
    const batch = (count: number) => ({ activities: Array.from({ length: count }, () => task(many)) });
    await rejects(activityClient(crm).recordActivities(batch(11)), Code.InvalidArgument, 'FIELD_INVALID');
    await rejects(
      activityClient(crm).recordActivities({ activities: Array.from({ length: 501 }, () => task([minh])) }),
      Code.InvalidArgument,
      'FIELD_INVALID',
    );
    assert.deepEqual(await list(minh), []);
    const { recordedCount } = await activityClient(crm).recordActivities(batch(10));
    assert.equal(recordedCount, 10_000);
  });
});
