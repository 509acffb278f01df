import type { PendingQuery } from 'postgres';
import { SystemNoticeKind as Kind } from '#gen/serp/discuss/v1/message_pb.ts';
import type { Sql } from '../db/types.ts';
import type { Lookup } from '../directory/directory.ts';
import { appendEvent } from '../event/log/sql.ts';
import type { LoggedEvent } from '../event/log/wire.ts';
import { insertMembers, type MemberRow, type Role } from '../membership/sql.ts';
import { toMembersJoined } from '../membership/view.ts';
import { postNotices } from '../notice/sql.ts';
import { errors } from '../rpc/errors.ts';
import { rejectArchived, rejectOverfull } from './access.ts';
import type { TransactionParts } from './create.ts';
import { type ChannelRow, channelColumns, findChannel } from './sql.ts';
import { entityOf, upsertAlias } from './topic.ts';
import { toChannelChanged } from './view.ts';

/** The channel that holds the discussion after a move. `events` is empty when nothing changed. */
export type MoveResult = {
  readonly channel: ChannelRow;
  /** The channel that was merged into it; null when none was. */
  readonly mergedId: bigint | null;
  readonly events: readonly LoggedEvent[];
};

const MEMBERS_PER_EVENT = 1_000;

/** `users`: those of the newcomers, as the directory knew them before the transaction. */
export async function mergeTopics(
  parts: TransactionParts,
  source: ChannelRow,
  target: ChannelRow,
  users: Lookup,
): Promise<MoveResult> {
  const { sql, caller, config } = parts;
  const { tenantId, userId } = caller;
  rejectArchived(target);
  const candidates = await listNewcomers(sql, tenantId, source.id, target.id);
  const known = new Set(users.known(candidates.map((row) => row.userId)));
  const newcomers = candidates.filter((row) => known.has(row.userId));
  rejectOverfull(config, target.memberCount + newcomers.length);
  const groups = [...Map.groupBy(newcomers, ({ role }) => (role === 'GUEST' ? 'GUEST' : 'MEMBER'))];
  const [[merged], , , ...joined] = await Promise.all([
    updateMerged(sql, tenantId, source.id, target.id),
    updateAliases(sql, tenantId, source.id, target.id),
    upsertAlias(sql, tenantId, entityOf(source), target.id),
    ...groups.map(([role, rows]) => {
      const userIds = rows.map((row) => row.userId);
      return insertMembers(sql, tenantId, target.id, userIds, role);
    }),
  ]);
  const [channel] = await findChannel(sql, tenantId, userId, target.id);
  if (channel === undefined || merged === undefined) throw errors.conflict();
  const ends = { fromEntity: entityOf(source), toEntity: entityOf(target) };
  const events = await Promise.all([
    ...chunksOf(joined.flat()).map((members) =>
      appendEvent(sql, target.id, 'MEMBERS_JOINED', userId, toMembersJoined(target.id, userId, members)),
    ),
    ...postNotices(parts, target.id, { kind: Kind.TOPIC_MERGED, ...ends, otherChannelId: source.id }),
    appendEvent(sql, source.id, 'CHANNEL_CHANGED', userId, toChannelChanged(merged, userId, false)),
    ...postNotices(parts, source.id, { kind: Kind.TOPIC_MERGED_INTO, ...ends, otherChannelId: target.id }),
  ]);
  return { channel, mergedId: source.id, events: events.flat() };
}

// One event with thousands of members would exceed the buffer of a stream.
function chunksOf(members: readonly MemberRow[]): MemberRow[][] {
  const chunks = Math.ceil(members.length / MEMBERS_PER_EVENT);
  return Array.from({ length: chunks }, (_, index) =>
    members.slice(index * MEMBERS_PER_EVENT, (index + 1) * MEMBERS_PER_EVENT),
  );
}

/** Archives a channel permanently and points it to the channel it was merged into. Both rows must be locked. */
function updateMerged(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  intoId: bigint,
): PendingQuery<ChannelRow[]> {
  return sql<ChannelRow[]>`
    update channels c
    set is_archived = true,
        merged_into = ${intoId},
        updated_at = greatest(c.updated_at, now_ms())
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
    returning ${channelColumns(sql)}
  `;
}

/** Redirects all aliases of a channel to another channel. */
function updateAliases(sql: Sql, tenantId: bigint, channelId: bigint, intoId: bigint): PendingQuery<never[]> {
  return sql<never[]>`
    update channel_entity_aliases a
    set channel_id = ${intoId}
    where a.tenant_id = ${tenantId}
      and a.channel_id = ${channelId}
  `;
}

type NewcomerRow = { readonly userId: bigint; readonly role: Role };

/** Members of a channel who were never members of another one. */
export function listNewcomers(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  otherId: bigint,
): PendingQuery<NewcomerRow[]> {
  return sql<NewcomerRow[]>`
    select m.user_id, m.role
    from channel_members m
    where m.tenant_id = ${tenantId}
      and m.channel_id = ${channelId}
      and is_member_status(m.status)
      and not exists (
        select 1
        from channel_members x
        where x.tenant_id = ${tenantId}
          and x.channel_id = ${otherId}
          and x.user_id = m.user_id
      )
    order by m.user_id
  `;
}
