import { randomUUID } from 'node:crypto';
import { type EventKind, EventKindSchema } from '#gen/serp/discuss/v1/event_pb.ts';
import type { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import type { Deps } from '../deps.ts';
import { findPresence, OTHER_KIND } from '../presence/find.ts';
import type { Call, Caller, Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import type { Frame } from '../rpc/frame.ts';
import { toFrame } from './log/frames.ts';
import { listChannelStates } from './log/sql.ts';
import { type ChannelState, toChannelState } from './subscribe/channel-state.ts';
import { fromCursor } from './tenant-stream/cursor.ts';

export function eventRoutes(deps: Deps): Handlers<typeof EventService> {
  return {
    async subscribe(request, call, sink) {
      const only = request.channelIds.length === 0 ? undefined : new Set(request.channelIds);
      const cursors = new Map(request.cursors.map(({ channelId, seq }) => [channelId, seq]));
      const find = (channelIds: readonly bigint[] | undefined) => listStates(deps, call, channelIds);
      const watched = new Set(request.presenceUserIds);
      const deviceId = request.device?.id || randomUUID();
      const stream = await deps.hub.open(call, sink, { only, cursors, watched, deviceId, find });
      const leave = deps.presence.open(call.caller, deviceId, request.device?.kind || OTHER_KIND);
      if (watched.size > 0) offerPresence(deps, call, stream, [...watched]);
      try {
        await Promise.race([aborted(call.signal), stream.failed]);
      } finally {
        stream.close();
        leave();
      }
    },

    async streamTenantEvents({ cursor, kinds, fromOldest }, call, sink) {
      if (call.caller.userId > 0n)
        throw errors.callerNotAllowed('a stream of tenants is for services that act for nobody');
      const filter = {
        tenants: tenantsOf(call.caller),
        kinds: kinds.length === 0 ? undefined : kinds.map(kindName),
      };
      const from = fromCursor(cursor) ?? (fromOldest ? 'oldest' : 'now');
      await deps.feeds.serve({ filter, from }, call, sink);
    },
  };
}

// Beside the stream's events: it does not wait for Redis.
function offerPresence(
  deps: Deps,
  call: Call,
  stream: { offer(frame: Frame): void },
  userIds: readonly bigint[],
): void {
  findPresence(deps, call, userIds)
    .then((users) => stream.offer(toFrame({ case: 'presence', value: { users } })))
    .catch((error) => call.log.debug({ err: error }, 'a stream was not told the presence it asked for'));
}

/** The tenant a service names, or those it serves; undefined: all. */
function tenantsOf({ tenantId, tenants }: Caller): readonly bigint[] | undefined {
  if (tenantId > 0n) return [tenantId];
  return tenants === undefined ? undefined : [...tenants];
}

function kindName(kind: EventKind): string {
  return EventKindSchema.value[kind]?.name.slice('EVENT_KIND_'.length) ?? '';
}

async function listStates(
  deps: Deps,
  call: Call,
  channelIds: readonly bigint[] | undefined,
): Promise<readonly ChannelState[]> {
  const { tenantId, userId } = call.caller;
  const limit = deps.config.event.streamChannels;
  const rows = await deps.db.run(call, (sql) => listChannelStates(sql, tenantId, userId, channelIds, limit));
  return rows.map(toChannelState);
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
