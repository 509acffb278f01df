import type { Activity } from '#gen/serp/discuss/v1/activity_pb.ts';
import type { Subscriber } from './stream.ts';

/**
 * The feed of a client that listed activities, if any, and then applied the messages of a stream as ActivityService
 * describes: by id, each with the highest version.
 */
export function feedOf(subscriber: Subscriber, listed: readonly Activity[] = []): Activity[] {
  const feed = new Map(listed.map((activity) => [activity.id, activity]));
  const read = new Set<bigint>();
  const removed = new Set<bigint>();
  for (const payload of subscriber.others) {
    if (payload.case === 'activityRemoved') removed.add(payload.value.activityId);
    if (payload.case === 'activitiesRead') for (const id of payload.value.activityIds) read.add(id);
    if (payload.case !== 'activity') continue;
    const { id, version } = payload.value;
    if (version > (feed.get(id)?.version ?? 0)) feed.set(id, payload.value);
  }
  return [...feed.values()]
    .filter(({ id }) => !removed.has(id))
    .map((activity) => ({ ...activity, read: activity.read || read.has(activity.id) }));
}
