import assert from 'node:assert/strict';
import { type CallOptions, Code, createClient, type Transport } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import {
  EventService,
  type SubscribeResponse,
  type TenantEvent,
} from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { Access } from '#gen/serp/discuss/v1/options_pb.ts';
import type { App } from '../kit/app.ts';
import { rejects } from '../kit/rejects.ts';
import { ana, SECRET, service, type Victim } from './fixture.ts';
import { type Trial, toText } from './trial.ts';

const { method } = EventService;

export const eventTrials: readonly Trial[] = [
  {
    method: method.subscribe,
    kind: 'rejected',
    access: Access.USER,
    tenantWide: false,
    invoke: ({ transport, victim }) => subscribe(transport, victim),
    assertAllowed: async ({ app, group }) => {
      const { payload } = await subscribe(app.transport(ana, 'grpc', 0), group);
      assert.ok(payload.case === 'started', payload.case);
      const channelIds = payload.value.channels.map(({ channelId }) => channelId);
      assert.deepEqual(channelIds, [group.channelId]);
    },
    assertOutsider: async ({ transport, victim }) => {
      await rejects(subscribe(transport, victim), Code.NotFound, 'CHANNEL_NOT_FOUND');
    },
  },
  {
    method: method.streamTenantEvents,
    kind: 'own data',
    access: Access.SERVICE,
    tenantWide: false,
    invoke: ({ transport }) => readTenant(transport, ''),
    assertAllowed: async ({ app, group }) => {
      const marker = await post(app, service.tenantId);
      const received = await readTenant(app.transport(service, 'grpc', 0), marker);
      assertOnly(received, service.tenantId);
      const own = received.filter(({ event }) => event?.channelId === group.channelId);
      assert.ok(toText(own).includes(SECRET));
    },
    assertOutsider: async ({ fixture, transport, as }) => {
      const marker = await post(fixture.app, as.tenantId);
      const response = readTenant(transport, marker);
      // A service that acts for a user may not read the log of the tenant.
      if (as.userId > 0n) {
        await rejects(response, Code.PermissionDenied, 'CALLER_NOT_ALLOWED');
        return;
      }
      const received = await response;
      assertOnly(received, as.tenantId);
      const { group, direct, formerDirect, topic, publicGroup } = fixture;
      for (const { channelId } of [group, direct, formerDirect, topic, publicGroup])
        assert.ok(!received.some(({ event }) => event?.channelId === channelId));
    },
  },
];

function assertOnly(events: readonly TenantEvent[], tenantId: bigint): void {
  assert.deepEqual(new Set(events.map((event) => event.tenantId)), new Set([tenantId]));
}

/** Posts a message in a channel of its own; returns its content. */
export async function post(app: App, tenantId: bigint): Promise<string> {
  const user = { userId: 70n, tenantId };
  const { channel } = await app.client(ChannelService, user).createChannel({ name: 'của riêng tôi' });
  const content = crypto.randomUUID();
  await app.client(MessageService, user).sendMessage({ channelId: channel?.id ?? 0n, content });
  return content;
}

/** The first message of a stream of a victim's channel. */
async function subscribe(transport: Transport, { channelId }: Victim): Promise<SubscribeResponse> {
  const client = createClient(EventService, transport);
  return readUntil(
    (options) => client.subscribe({ channelIds: [channelId] }, options),
    () => true,
  ).then(([first]) => first ?? assert.fail('the stream ended without a message'));
}

/** All events from the oldest one to the one of the message with the marker. */
async function readTenant(transport: Transport, marker: string): Promise<TenantEvent[]> {
  const client = createClient(EventService, transport);
  const responses = await readUntil(
    (options) => client.streamTenantEvents({ fromOldest: true }, options),
    ({ payload }) =>
      payload.case === 'event' &&
      payload.value.event?.change.case === 'messageCreated' &&
      payload.value.event.change.value.message?.content === marker,
  );
  return responses.flatMap(({ payload }) => (payload.case === 'event' ? [payload.value] : []));
}

/** Reads a stream up to its first response that meets the condition, then cancels it. */
export async function readUntil<T>(
  open: (options: CallOptions) => AsyncIterable<T>,
  isLast: (response: T) => boolean,
): Promise<T[]> {
  const abort = new AbortController();
  // Connect keeps the timer of `timeoutMs`, and with it the process, after the end of the stream.
  const signal = AbortSignal.any([abort.signal, AbortSignal.timeout(30_000)]);
  const responses: T[] = [];
  try {
    for await (const response of open({ signal })) {
      responses.push(response);
      if (isLast(response)) break;
    }
    return responses;
  } finally {
    // Leaving the loop does not cancel the call.
    abort.abort();
  }
}
