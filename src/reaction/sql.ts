import type { PendingQuery } from 'postgres';
import type { Sql } from '../db/types.ts';
import { joinReader } from '../membership/sql.ts';
import type { Caller } from '../rpc/call.ts';

export type ReactionChange = {
  readonly channelId: bigint;
  readonly messageId: bigint;
  readonly emoji: string;
  readonly added: boolean;
};

/** The message that a batch of reactions is for. */
export type ReactedMessage = {
  readonly tenantId: bigint;
  readonly channelId: bigint;
  readonly messageId: bigint;
};

/** One reaction of a batch, as `change_reactions` reads it: bigints as decimal strings, bytes as base64. */
export type ReactionItem = {
  readonly userId: string;
  /** For the text of activities; empty when the token has no name. */
  readonly userName: string;
  readonly emoji: string;
  readonly added: boolean;
  readonly payload: string;
  readonly seqOffset: number;
};

export type ReactionRow = {
  /** Null in the last row, which is about the message. */
  readonly item: number | null;
  readonly errorReason:
    | 'MESSAGE_NOT_FOUND'
    | 'MESSAGE_DELETED'
    | 'CHANNEL_ARCHIVED'
    | 'MEMBER_MUTED'
    | 'REACTION_LIMIT'
    | null;
  /** Null when nothing changed. */
  readonly seq: bigint | null;
  readonly payload: Buffer;
  /** JSON text of `shorten_reactions`; only in the last row. */
  readonly reactions: string | null;
  /** Activities of the message's sender that were recorded or removed, for `signalActivities`; only in the last row. */
  readonly activities: string | null;
};

/** Adds or removes reactions of several users to a message in one statement and transaction. */
export function changeReactions(
  sql: Sql,
  { tenantId, channelId, messageId }: ReactedMessage,
  items: readonly ReactionItem[],
  limits: { readonly maxReactions: number; readonly maxReactionUsers: number },
): PendingQuery<ReactionRow[]> {
  const numbered = JSON.stringify(items.map((item, index) => ({ item: index, ...item })));
  return sql<ReactionRow[]>`
    select item, error_reason, seq, payload, reactions, activities
    from change_reactions(
      ${tenantId}, ${channelId}, ${messageId}, ${numbered}::text::json,
      ${limits.maxReactions}, ${limits.maxReactionUsers}
    )
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
