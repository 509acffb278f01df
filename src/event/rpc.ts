import { randomUUID } from 'node:crypto';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { type EventKind, EventKindSchema } from '#gen/serp/discuss/v1/event_pb.ts';
import type { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import type { UserPresenceSchema } from '#gen/serp/discuss/v1/presence_pb.ts';
import type { Config } from '../config.ts';
import type { Call, Caller, Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { toFrame } from './log/wire.ts';
import type { Relay } from './relay.ts';
import type { Hub } from './subscribe/hub.ts';
import type { SubscriberStream } from './subscribe/subscriber-stream.ts';
import type { ChannelState } from './subscribe/subscription.ts';
import { fromCursor } from './tenant-stream/cursor.ts';
import type { TenantStreams } from './tenant-stream/tenant-streams.ts';

export type EventDeps = {
  readonly config: Config;
  readonly hub: Hub;
  readonly relay: Relay;
  readonly tenantStreams: TenantStreams;
  /** Marks the user as present until the returned function is called. */
  openPresence(caller: Caller, deviceId: string, kind: string): () => void;
  findPresence(
    call: Call,
    userIds: readonly bigint[],
  ): Promise<MessageInitShape<typeof UserPresenceSchema>[]>;
  /** States of the caller's channels, all or those given, after a channel in ascending order of their ids. */
  listChannelStates(
    call: Call,
    channelIds: readonly bigint[] | undefined,
    after: bigint,
    limit: number,
  ): Promise<readonly ChannelState[]>;
};

export function eventRoutes(deps: EventDeps): Handlers<typeof EventService> {
  return {
    async subscribe(request, call, sink) {
      const only = request.channelIds.length === 0 ? undefined : new Set(request.channelIds);
      const cursors = new Map(request.cursors.map(({ channelId, seq }) => [channelId, seq]));
      const listStates = deps.listChannelStates.bind(deps, call);
      const watched = new Set(request.presenceUserIds);
      const deviceId = request.device?.id || randomUUID();
      const subscription = { only, watched, deviceId, listStates };
      // Before the channels are read, so that what is committed later arrives at once.
      const following = deps.relay.follow(call.caller.tenantId);
      const opening = following.then(() => deps.hub.open(call, sink, subscription, cursors));
      // Not awaited here, because this function would keep the request for as long as the stream is open.
      return serve(deps, call, opening, request.device?.kind ?? '').finally(async () => (await following)());
    },

    async streamTenantEvents({ cursor, kinds, fromOldest }, call, sink) {
      if (call.caller.userId > 0n)
        throw errors.callerNotAllowed('StreamTenantEvents is for services that act for no user');
      const filter = {
        tenants: tenantsOf(call.caller),
        kinds: kinds.length === 0 ? undefined : kinds.map(kindName),
      };
      const from = fromCursor(cursor) ?? (fromOldest ? 'oldest' : 'now');
      const unfollow = await deps.relay.followCommits();
      return deps.tenantStreams.serve({ filter, from }, call, sink).finally(unfollow);
    },
  };
}

async function serve(
  deps: EventDeps,
  call: Call,
  opening: Promise<SubscriberStream>,
  deviceKind: string,
): Promise<void> {
  const stream = await opening;
  const { watched, deviceId } = stream.subscription;
  const closePresence = deps.openPresence(call.caller, deviceId, deviceKind);
  if (watched.size > 0) void sendPresence(deps, call, stream, [...watched]);
  try {
    await Promise.race([aborted(call.signal), stream.failed]);
  } finally {
    deps.hub.closeStream(stream);
    closePresence();
  }
}

// Beside the stream's events, which do not wait for Redis.
async function sendPresence(
  deps: EventDeps,
  call: Call,
  stream: SubscriberStream,
  userIds: readonly bigint[],
): Promise<void> {
  try {
    const users = await deps.findPresence(call, userIds);
    stream.trySend(toFrame({ case: 'presence', value: { users } }));
  } catch (error) {
    call.log.debug({ err: error }, 'the requested presence could not be sent to a stream');
  }
}

/** The tenant that a service names, otherwise those of its token. */
function tenantsOf({ tenantId, tenants = new Set() }: Caller): readonly bigint[] | 'all' {
  if (tenantId > 0n) return [tenantId];
  if (tenants === 'all') return tenants;
  if (tenants.size === 0) throw errors.callerNotAllowed('the token grants no tenant');
  return [...tenants];
}

function kindName(kind: EventKind): string {
  return EventKindSchema.value[kind]?.name.slice('EVENT_KIND_'.length) ?? '';
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
