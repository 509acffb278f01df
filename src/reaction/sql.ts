import type { PendingQuery } from 'postgres';
import type { Sql } from '../db/types.ts';
import type { PatchableEvent } from '../event/log/wire.ts';
import { joinReader } from '../membership/sql.ts';
import type { Caller } from '../rpc/call.ts';

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
  /** JSON text of `shorten_reactions`. */
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

/** Order keys of a reaction: a hash of its emoji, and its user. */
export type ReactionPlace = readonly [emojiHash: bigint, userId: bigint];

export type ListedReactionRow =
  | { readonly emoji: string; readonly emojiHash: bigint; readonly userId: bigint }
  | { readonly emoji: null };

/**
 * Reactions to a message after a place, of one emoji or of all (''). One row without emoji when there is none, no row when
 * the message is not visible. The order does not depend on other reactions, so that removed ones do not shift a page.
 */
export function listReactions(
  sql: Sql,
  caller: Caller,
  { channelId, messageId, emoji }: Omit<ReactionChange, 'added'>,
  after: ReactionPlace | undefined,
  limit: number,
): PendingQuery<ListedReactionRow[]> {
  const place = sql`(hashtextextended(r.reaction ->> 'emoji', 0), u.id::bigint)`;
  return sql<ListedReactionRow[]>`
    select page.*
    from messages m
    join channels c on c.id = m.channel_id
    ${joinReader(sql, caller)}
    left join lateral (
      select
        r.reaction ->> 'emoji' as emoji,
        hashtextextended(r.reaction ->> 'emoji', 0) as emoji_hash,
        u.id::bigint as user_id
      from jsonb_array_elements(m.reactions) as r(reaction)
      cross join jsonb_array_elements_text(r.reaction -> 'users') as u(id)
      where not m.is_deleted
        ${emoji === '' ? sql`` : sql`and r.reaction ->> 'emoji' = ${emoji}`}
        ${after === undefined ? sql`` : sql`and ${place} > (${after[0]}, ${after[1]})`}
      order by emoji_hash, user_id
      limit ${limit}
    ) as page on true
    where m.id = ${messageId}
      and m.channel_id = ${channelId}
      and m.tenant_id = ${caller.tenantId}
      and c.tenant_id = ${caller.tenantId}
      and c.deleted_at is null
    order by page.emoji_hash, page.user_id
  `;
}
