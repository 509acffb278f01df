import type { PendingQuery } from 'postgres';
import { type ChannelRow, channelColumns } from '../channel/sql.ts';
import type { Pool, Sql } from '../db/types.ts';
import { type MembershipRow, membershipColumns } from '../membership/sql.ts';
import type { Term } from './query.ts';

export type FoundMessageRow = {
  readonly id: bigint;
  readonly channelId: bigint;
  readonly senderId: bigint;
  readonly messageType: string;
  readonly content: string;
  readonly fileNames: string;
  readonly parentId: bigint | null;
  readonly createdAt: bigint;
  readonly editedAt: bigint | null;
  readonly postSeq: bigint;
  readonly score: bigint;
  /** The ranked matches: the oldest id, the id after the newest, and their number. */
  readonly windowStart: bigint;
  readonly windowEnd: bigint;
  readonly matches: number;
  /** Words of the message that are English forms of searched words. */
  readonly forms: string[];
};

export type MessageFilter = {
  readonly channelIds: readonly bigint[];
  readonly senderIds: readonly bigint[];
  readonly types: readonly string[];
  readonly afterMs: bigint | undefined;
  readonly beforeMs: bigint | undefined;
  readonly hasAttachment: boolean | undefined;
  readonly rootMessageId: bigint;
};

/**
 * Position of a page: matches with `from <= id < before` are ranked as of `now`; the page starts after (score, id).
 */
export type MessagePlace = {
  readonly before: bigint;
  readonly from: bigint;
  /** Null: not ranked, newest first. */
  readonly now: bigint | null;
  readonly score: bigint;
  readonly id: bigint;
};

/**
 * Matching messages, best first. The function bypasses row-level security and checks tenant and membership itself;
 * the rows it found are read under the caller's rights.
 */
export function searchMessages(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  search: { terms: readonly Term[]; withoutStopWords: boolean; filter: MessageFilter; ranked: number },
  place: MessagePlace,
  limit: number,
): PendingQuery<FoundMessageRow[]> {
  const english = search.terms.flatMap((term) => (isInflected(term) ? term.words : [])).join(' ');
  return sql<FoundMessageRow[]>`
    select
      m.id, m.channel_id, m.sender_id, m.message_type, m.content, m.file_names, m.parent_id, m.created_at, m.edited_at, m.post_seq,
      page.score, page.window_start, page.window_end, page.matches,
      to_json(array(
        select w.word
        from unnest(tsvector_to_array(ts_filter(page.words, '{a}'))) as w(word)
        where ts_lexize('pg_catalog.english_stem', w.word) && page.stems
      )) as forms
    from (
      select f.*, tsvector_to_array(to_tsvector('pg_catalog.english', ${english})) as stems
      from (
        select
          s.message_id,
          s.score,
          s.words,
          min(s.message_id) over () as window_start,
          max(s.message_id) over () + 1 as window_end,
          count(*) over ()::int as matches
        from search_messages(
          search_query(${toTermsJson(search.terms)}::text::jsonb, ${search.withoutStopWords}),
          ${toFilterJson(search.filter)}::text::jsonb,
          ${place.before},
          ${place.from},
          ${place.now},
          ${search.ranked}
        ) as s
      ) as f
      where (f.score, f.message_id) < (${place.score}::bigint, ${place.id}::bigint)
      order by f.score desc, f.message_id desc
      limit ${limit}
    ) as page
    join messages m on m.id = page.message_id
    join channel_members me on me.channel_id = m.channel_id
    where m.tenant_id = ${tenantId}
      and not m.is_deleted
      and me.user_id = ${userId}
      and me.tenant_id = ${tenantId}
      and is_member_status(me.status)
    order by page.score desc, m.id desc
  `;
}

export type FoundChannelRow = ChannelRow & { readonly score: number } & (
    | MembershipRow
    | { readonly role: null }
  );

export type ChannelSearch = {
  readonly words: readonly string[];
  readonly types: readonly string[];
  readonly joinedOnly: boolean;
  readonly includeArchived: boolean;
};

/** Score, last_message_at (-1: none) and id of the last channel of a page. */
export type ChannelPlace = readonly [score: bigint, lastMessageAt: bigint, id: bigint];

/** Channels whose names contain all words, best first. */
export function searchChannels(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  { words, types, joinedOnly, includeArchived }: ChannelSearch,
  place: ChannelPlace | undefined,
  limit: number,
): PendingQuery<FoundChannelRow[]> {
  return sql<FoundChannelRow[]>`
    select ${channelColumns(sql)}, ${membershipColumns(sql)}, page.score
    from (
      select c.id, s.score
      from search_channels(string_to_array(${words.join(' ')}, ' '), 500) as s
      join channels c on c.id = s.channel_id
      left join channel_members me
        on me.channel_id = c.id
        and me.tenant_id = c.tenant_id
        and me.user_id = ${userId}
        and is_member_status(me.status)
      where c.tenant_id = ${tenantId}
        and (me.id is not null or (c.type = 'GROUP' and not c.is_private))
        ${joinedOnly ? sql`and me.id is not null` : sql``}
        ${includeArchived ? sql`` : sql`and not c.is_archived`}
        ${types.length === 0 ? sql`` : sql`and c.type in ${sql([...types])}`}
        ${
          place === undefined
            ? sql``
            : sql`and (s.score, coalesce(c.last_message_at, -1), c.id)
                < (${place[0]}::bigint, ${place[1]}::bigint, ${place[2]}::bigint)`
        }
      order by s.score desc, coalesce(c.last_message_at, -1) desc, c.id desc
      limit ${limit}
    ) as page
    join channels c on c.id = page.id
    left join channel_members m
      on m.channel_id = c.id
      and m.tenant_id = c.tenant_id
      and m.user_id = ${userId}
      and is_member_status(m.status)
    where c.tenant_id = ${tenantId}
    order by page.score desc, coalesce(c.last_message_at, -1) desc, c.id desc
  `;
}

type Indexed = { readonly events: number; readonly lagMs: bigint | null };

/**
 * Indexes the words of messages that were sent, edited or deleted since the last call, from about `limit` events.
 * Returns the number of events, and the age of the oldest in ms.
 */
export function indexMessages(sql: Pool, limit: number): PendingQuery<Indexed[]> {
  return sql<Indexed[]>`select events, lag_ms from index_messages(${limit})`;
}

// Texts for to_tsquery(). Words contain only letters and digits, so no operators.
function toTermsJson(terms: readonly Term[]): string {
  return JSON.stringify(
    terms.map((term) => ({
      typed: toTyped(term),
      english: isInflected(term) ? `'${term.words[0]}':D` : null,
      part: term.kind === 'PART' ? term.words[0] : null,
      negated: term.negated,
    })),
  );
}

function toTyped({ words, kind }: Term): string {
  const last = words.length - 1;
  const isOpen = kind === 'PREFIX' || kind === 'PART';
  return words.map((word, index) => `'${word}':${isOpen && index === last ? '*' : ''}A`).join(' <-> ');
}

function isInflected({ words, kind }: Term): boolean {
  return kind === 'WORD' && words.length === 1;
}

function toFilterJson(filter: MessageFilter): string {
  return JSON.stringify({
    channelIds: filter.channelIds.map(String),
    senderIds: filter.senderIds.map(String),
    types: filter.types,
    afterMs: filter.afterMs?.toString(),
    beforeMs: filter.beforeMs?.toString(),
    hasAttachment: filter.hasAttachment,
    parentId: filter.rootMessageId === 0n ? undefined : filter.rootMessageId.toString(),
  });
}
