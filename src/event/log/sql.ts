import type { PendingQuery } from 'postgres';
import type { Pool, Sql } from '../../db/types.ts';
import type { LoggedEvent, PatchableEvent } from './wire.ts';

/** Kind of an event in the log: the field of `Event.change` in upper case. */
export type EventKind =
  | 'CHANNEL_CHANGED'
  | 'MEMBERS_JOINED'
  | 'MEMBER_LEFT'
  | 'MEMBERS_CHANGED'
  | 'CHANNEL_DELETED'
  | 'MESSAGE_EDITED'
  | 'MESSAGE_DELETED'
  | 'POLL_CHANGED'
  | 'PIN_CHANGED'
  | 'ATTACHMENT_CHANGED';

/**
 * Appends an event to a channel's log within the caller's transaction, and returns it as logged. Locks the channel's row
 * until commit, which keeps `seq` without gaps and in the order of commits.
 */
export function appendEvent(
  sql: Sql,
  channelId: bigint,
  kind: EventKind,
  actorId: bigint,
  event: PatchableEvent,
  messageId: bigint | null = null,
): PendingQuery<LoggedEvent[]> {
  return sql<LoggedEvent[]>`
    select channel_id, seq, payload
    from append_event(${channelId}, ${kind}, ${actorId}, ${event.payload}, ${event.seqOffset}, ${messageId})
  `;
}

/** A page of the log ends with the event that reaches one of these. */
export type PageLimits = { readonly events: number; readonly bytes: number };

/** A page of a channel's events after a `seq`, in order. Checks no rights: only streams of members read them. */
export function listEvents(
  sql: Pool,
  channelId: bigint,
  after: bigint,
  limits: PageLimits,
): PendingQuery<LoggedEvent[]> {
  return sql<LoggedEvent[]>`
    select channel_id, seq, payload
    from list_events(${channelId}, ${after}, ${limits.events}, ${limits.bytes})
  `;
}

export type ChangedChannel = {
  readonly channelId: bigint;
  readonly head: bigint;
  /** MEMBERS_JOINED events among the changes. */
  readonly joins: readonly Buffer[];
};

/** `horizon`: every transaction before it has ended. `identity` changes when the database was restored from a backup. */
export type LogState = { readonly horizon: string; readonly identity: string | null };

/** Current state of the log. Renews the log first if the database was restored. */
export function findLogState(sql: Pool): PendingQuery<LogState[]> {
  return sql<LogState[]>`
    select pg_snapshot_xmin(pg_current_snapshot())::text as horizon, renew_event_log() as identity
  `;
}

/** Heads of the channels whose log grew between two horizons. */
export function listChangedChannels(sql: Pool, from: string, to: string): PendingQuery<ChangedChannel[]> {
  return sql<ChangedChannel[]>`
    select channel_id, head, joins
    from list_changed_channels(${from}::text::xid8, ${to}::text::xid8)
  `;
}
