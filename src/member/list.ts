import type { MessageInitShape } from '@bufbuild/protobuf';
import type { PendingQuery } from 'postgres';
import { FormerMemberSchema, MemberSchema } from '#gen/serp/discuss/v1/member_pb.ts';
import type { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { requireRole, requireVisible, type Visibility } from '../channel/access.ts';
import { toTimestamp } from '../db/time.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import { type MemberRow, type Role, restrictionColumns } from '../membership/sql.ts';
import { toMember, toRole } from '../membership/view.ts';
import type { Call, Handlers } from '../rpc/call.ts';
import { fromPageToken, pageOfItems } from '../rpc/page-token.ts';
import { rank } from './sql.ts';

type ListHandlers = Pick<Handlers<typeof MemberService>, 'listMembers'>;
type Page = { readonly channelId: bigint; readonly pageSize: number; readonly pageToken: string };

export function listHandlers(deps: Deps): ListHandlers {
  return {
    async listMembers(request, call) {
      return request.former ? listFormer(deps, call, request) : listCurrent(deps, call, request);
    },
  };
}

async function listCurrent({ db }: Deps, call: Call, { channelId, pageSize, pageToken }: Page) {
  const { tenantId, userId } = call.caller;
  const [rank, afterId] = fromPageToken(pageToken, 2) ?? [];
  const after = { rank: rank ?? 0n, userId: afterId ?? 0n };
  const rows = await db.run(call, (sql) =>
    listMembers(sql, tenantId, userId, channelId, after, pageSize + 1),
  );
  requireRole(call.caller, requireVisible(call.caller, rows[0]), 'GUEST');
  const members = rows.flatMap((row) => (row.userId === null ? [] : [{ ...row, role: row.memberRole }]));
  const { items, nextPageToken } = pageOfItems(members, pageSize, MemberSchema, toMember, (last) => [
    BigInt(last.rank),
    last.userId,
  ]);
  return { members: items, nextPageToken };
}

async function listFormer({ db }: Deps, call: Call, { channelId, pageSize, pageToken }: Page) {
  const { tenantId, userId } = call.caller;
  const after = fromPageToken(pageToken, 1)?.[0] ?? 0n;
  const rows = await db.run(call, (sql) =>
    listFormerMembers(sql, tenantId, userId, channelId, after, pageSize + 1),
  );
  requireRole(call.caller, requireVisible(call.caller, rows[0]), 'ADMIN');
  const members = rows.flatMap((row) => (row.userId === null ? [] : [row]));
  const { items, nextPageToken } = pageOfItems(
    members,
    pageSize,
    FormerMemberSchema,
    toFormerMember,
    (last) => [last.userId],
  );
  return { formerMembers: items, nextPageToken };
}

function toFormerMember(row: FormerMemberRow): MessageInitShape<typeof FormerMemberSchema> {
  return {
    userId: row.userId,
    role: toRole(row.memberRole),
    joinTime: toTimestamp(row.joinedAt),
    leaveTime: toTimestamp(row.leftAt),
    removed: row.isRemoved,
    removerId: row.removedBy ?? 0n,
  };
}

type ListedRow = Visibility &
  (
    | { readonly userId: null }
    | (Omit<MemberRow, 'role'> & {
        readonly memberRole: Role;
        /** Rank of the role in the list. */
        readonly rank: number;
      })
  );

/**
 * Members of a channel by role, then by user id, after a place in that order. No row when the channel does not exist,
 * one row without member when the page is empty.
 */
function listMembers(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: bigint,
  after: { readonly rank: bigint; readonly userId: bigint },
  limit: number,
): PendingQuery<ListedRow[]> {
  return sql<ListedRow[]>`
    select c.type, c.is_private, me.role, page.*
    from channels c
    left join channel_members me
      on me.channel_id = c.id
      and me.tenant_id = c.tenant_id
      and me.user_id = ${userId}
      and is_member_status(me.status)
    left join lateral (
      select
        m.user_id, m.role as member_role, m.joined_at, m.metadata ->> 'nickname' as nickname,
        ${restrictionColumns(sql)}, ${rank(sql, 'm')} as rank
      from channel_members m
      where m.tenant_id = ${tenantId}
        and m.channel_id = ${channelId}
        and is_member_status(m.status)
        and (${rank(sql, 'm')}, m.user_id) > (${after.rank}::int, ${after.userId})
      order by ${rank(sql, 'm')}, m.user_id
      limit ${limit}
    ) as page on true
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
    order by page.rank, page.user_id
  `;
}

type FormerMemberRow = {
  readonly userId: bigint;
  readonly memberRole: Role;
  readonly joinedAt: bigint;
  /** Null for rows that plain SQL changed. */
  readonly leftAt: bigint | null;
  readonly isRemoved: boolean;
  readonly removedBy: bigint | null;
};

/**
 * Former members of a channel by user id, after a user. No row when the channel does not exist, one row without member when
 * the page is empty.
 */
function listFormerMembers(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: bigint,
  after: bigint,
  limit: number,
): PendingQuery<(Visibility & (FormerMemberRow | { readonly userId: null }))[]> {
  return sql<(Visibility & (FormerMemberRow | { readonly userId: null }))[]>`
    select c.type, c.is_private, me.role, page.*
    from channels c
    left join channel_members me
      on me.channel_id = c.id
      and me.tenant_id = c.tenant_id
      and me.user_id = ${userId}
      and is_member_status(me.status)
    left join lateral (
      select
        m.user_id, m.role as member_role, m.joined_at, m.left_at, m.status = 'REMOVED' as is_removed, m.removed_by
      from channel_members m
      where m.tenant_id = ${tenantId}
        and m.channel_id = ${channelId}
        and m.status in ('LEFT', 'REMOVED')
        and m.user_id > ${after}
      order by m.user_id
      limit ${limit}
    ) as page on true
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
    order by page.user_id
  `;
}
