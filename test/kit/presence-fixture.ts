import assert from 'node:assert/strict';
import { PresenceStatus, type UserPresence } from '#gen/serp/discuss/v1/presence_pb.ts';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { type App, type As, app as startApp } from './app.ts';
import { until } from './until.ts';

/** The instance at which devices and the data of users expire soon; what it writes expires by its times. */
export const SHORT_LIVED = 2;

const reader: As = { userId: 99n, tenantId: 1n };

/** Two instances, and the one at which presence expires soon. */
export async function openPresenceApp(): Promise<App> {
  const app = await startApp({
    PRESENCE_TTL_MS: '60000',
    PRESENCE_DEVICE_TTL_MS: '30000',
    PRESENCE_DEBOUNCE_MS: '20',
    PRESENCE_POLL_MS: '100',
  });
  await app.start();
  await app.start({ PRESENCE_TTL_MS: '4000', PRESENCE_DEVICE_TTL_MS: '1200' });
  return app;
}

/** Calls that report and read presence, in an app that may be opened later. */
export function presenceFixture(app: () => App) {
  const client = (as: As, instance = 0) => app().client(PresenceService, as, 'grpc', instance);
  const heartbeat = (as: As, id: string, status: PresenceStatus = PresenceStatus.UNSPECIFIED, instance = 0) =>
    client(as, instance).heartbeat({ device: { id, kind: 'web' }, status });
  const read = async (as: As, id: number, instance = 0): Promise<UserPresence> => {
    const { users } = await client(as, instance).getPresence({ userIds: [BigInt(id)] });
    assert.ok(users[0]);
    return users[0];
  };
  const untilStatus = (id: number, status: PresenceStatus, instance = 1) =>
    until(async () => (await read(reader, id, instance)).status === status, `status ${status} of user ${id}`);
  return { client, heartbeat, read, untilStatus };
}
