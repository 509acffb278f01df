import assert from 'node:assert/strict';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import type { PresenceStatus } from '#gen/serp/discuss/v1/presence_pb.ts';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { type App, type As, app as startApp } from './app.ts';
import { Subscriber } from './stream.ts';
import { until } from './until.ts';

export const DEVICE_MS = 2_000;
export const GRACE_MS = 1_000;
export const DEBOUNCE_MS = 100;

/** Two instances at which presence changes quickly. */
export async function openPresenceStreams(): Promise<App> {
  const app = await startApp({
    PRESENCE_TTL_MS: '6000',
    PRESENCE_DEVICE_TTL_MS: `${DEVICE_MS}`,
    PRESENCE_GRACE_MS: `${GRACE_MS}`,
    PRESENCE_DEBOUNCE_MS: `${DEBOUNCE_MS}`,
    PRESENCE_POLL_MS: '100',
    // Instances reconnect to Redis up to 1 s apart, and then refresh their streams within half of this time.
    PRESENCE_RECOVERY_MS: '3000',
    PRESENCE_MAX_MEMBERS: '4',
  });
  await app.start();
  return app;
}

/** Users, their streams and the presence that these receive, in an app that may be opened later. */
export function presenceStreamFixture(app: () => App) {
  let nextUser = 1_000;
  /** To be disconnected after each test. */
  const open: Subscriber[] = [];

  /** A user without any stored data. */
  const fresh = (): As => {
    nextUser += 1;
    return { userId: BigInt(nextUser), tenantId: 1n };
  };
  const group = async (owner: As, ...members: As[]) => {
    const { channel } = await app()
      .client(ChannelService, owner)
      .createChannel({
        name: 'Tổ',
        private: true,
        memberUserIds: members.map(({ userId }) => userId),
      });
    return channel?.id ?? 0n;
  };
  const subscribe = async (
    as: As,
    instance = 0,
    more: ConstructorParameters<typeof Subscriber>[2] = {},
    channelIds: bigint[] = [],
  ) => {
    const subscriber = new Subscriber(app().client(EventService, as, 'grpc', instance), channelIds, more);
    open.push(subscriber);
    return subscriber.connect();
  };
  const status = async (as: As, of: As, instance = 0) =>
    (
      await app()
        .client(PresenceService, as, 'grpc', instance)
        .getPresence({ userIds: [of.userId] })
    ).users[0]?.status;
  const receives = (subscriber: Subscriber, of: As, ...statuses: PresenceStatus[]) =>
    until(() => {
      const received = subscriber.statuses(of.userId);
      return received.length >= statuses.length && received.at(-1) === statuses.at(-1);
    }, `${statuses}`).then(() => assert.deepEqual(subscriber.statuses(of.userId), statuses));

  /** Ignores how many updates a stream received. */
  const ends = (subscriber: Subscriber, of: As, status: PresenceStatus) =>
    until(() => subscriber.statuses(of.userId).at(-1) === status, `${status}`);
  return { open, fresh, group, subscribe, status, receives, ends };
}
