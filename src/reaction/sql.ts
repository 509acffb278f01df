import type { PendingQuery } from 'postgres';
import type { Sql } from '../db/types.ts';
import type { PatchableEvent } from '../event/log/wire.ts';

export type ReactionChange = {
  readonly channelId: bigint;
  readonly messageId: bigint;
  readonly emoji: string;
  readonly added: boolean;
};

export type ReactionRow = {
  readonly errorReason:
    | 'MESSAGE_NOT_FOUND'
    | 'MESSAGE_DELETED'
    | 'CHANNEL_ARCHIVED'
    | 'MEMBER_MUTED'
    | 'REACTION_LIMIT'
    | null;
  /** JSON text. */
  readonly reactions: string;
  /** Null when nothing changed. */
  readonly seq: bigint | null;
  readonly payload: Buffer;
  /** Activities of the message's sender that were recorded or removed, for `signalActivities`. */
  readonly activities: string | null;
};

/** Adds or removes the caller's reaction in one statement, which locks the channel and appends the event. */
export function changeReaction(
  sql: Sql,
  { channelId, messageId, emoji, added }: ReactionChange,
  limits: { readonly maxReactions: number; readonly maxReactionUsers: number },
  event: PatchableEvent,
  actorName: string,
): PendingQuery<ReactionRow[]> {
  return sql<ReactionRow[]>`
    select r.error_reason, r.reactions, r.seq, r.payload, a.activities
    from change_reaction(
      ${channelId}, ${messageId}, ${emoji}, ${added},
      ${limits.maxReactions}, ${limits.maxReactionUsers}, ${event.payload}, ${event.seqOffset}
    ) as r
    cross join lateral record_reaction(
      ${channelId}, ${messageId}, ${emoji}, ${actorName}, case when r.seq is not null then ${added}::boolean end
    ) as a(activities)
  `;
}
