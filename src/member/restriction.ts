import type { PendingQuery } from 'postgres';
import type { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { SystemNoticeKind } from '#gen/serp/discuss/v1/message_pb.ts';
import { appendAudit } from '../audit/sql.ts';
import { lockVisible, rejectArchived, rejectDirect, requireRole } from '../channel/access.ts';
import { toMs, toTimestamp } from '../db/time.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import { appendEvent } from '../event/log/sql.ts';
import { type MemberRow, memberColumns } from '../membership/sql.ts';
import { memberEtag, toMember } from '../membership/view.ts';
import { postNotices } from '../notice/sql.ts';
import type { Call, Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { requireEtag } from '../rpc/etag.ts';
import { toAudit, toMembersChanged } from './view.ts';

type RestrictionHandlers = Pick<Handlers<typeof MemberService>, 'restrictMember' | 'unrestrictMember'>;

export function restrictionHandlers(deps: Deps): RestrictionHandlers {
  return {
    async restrictMember({ channelId, userId, expireTime, etag }, call) {
      const until = toMs(expireTime) ?? null;
      return change(deps, call, { channelId, userId, etag, restriction: { until } });
    },

    async unrestrictMember({ channelId, userId, etag }, call) {
      return change(deps, call, { channelId, userId, etag, restriction: undefined });
    },
  };
}

type Restriction = { readonly until: bigint | null };

type Change = {
  readonly channelId: bigint;
  readonly userId: bigint;
  readonly etag: string;
  /** Undefined: ends. */
  readonly restriction: Restriction | undefined;
};

async function change({ config, db, relay }: Deps, call: Call, { channelId, ...wanted }: Change) {
  const { caller } = call;
  const { tenantId, userId } = caller;
  const { restriction } = wanted;
  if (wanted.userId === userId) throw errors.fieldInvalid('user_id', 'is the caller');
  const { member, events } = await db.lockingTransaction(call, channelId, async (sql) => {
    const channel = await lockVisible(sql, caller, channelId);
    requireRole(caller, channel, 'GUEST');
    rejectDirect(channel);
    requireRole(caller, channel, 'ADMIN');
    rejectArchived(channel);
    const [before] = await findMember(sql, tenantId, channelId, wanted.userId);
    if (before === undefined) throw errors.memberNotFound();
    requireRole(caller, channel, before.role);
    if (isSame(before, restriction)) return { member: before, events: [] };
    requireEtag(wanted.etag, memberEtag(before));
    const isPast = restriction?.until != null && restriction.until <= before.now;
    if (isPast) throw errors.fieldInvalid('expire_time', 'must be in the future');
    const [member] = await updateRestriction(sql, tenantId, channelId, wanted.userId, userId, restriction);
    if (member === undefined) throw errors.memberNotFound();
    const action = restriction === undefined ? 'MEMBER_UNRESTRICTED' : 'MEMBER_RESTRICTED';
    const expireTime = toTimestamp(restriction?.until ?? null);
    const notice = {
      kind: SystemNoticeKind[action],
      userIds: [wanted.userId],
      ...(expireTime === undefined ? {} : { expireTime }),
    };
    const changed = toMembersChanged(channelId, userId, [member]);
    const events = await Promise.all([
      appendEvent(sql, channelId, 'MEMBERS_CHANGED', userId, changed),
      ...postNotices({ sql, caller, config }, channelId, notice),
    ]);
    const until = restriction?.until == null ? {} : { until_ms: `${restriction.until}` };
    const details = toAudit(channelId, wanted.userId, until);
    await appendAudit(sql, caller, tenantId, action, details);
    return { member, events: events.flat() };
  });
  relay.publish(call.caller.tenantId, events);
  return { member: toMember(member) };
}

// A restriction until the same time may have expired since, before the call was repeated.
function isSame({ isRestricted, restrictedUntil }: MemberRow, wanted: Restriction | undefined): boolean {
  if (wanted === undefined) return !isRestricted;
  return restrictedUntil === wanted.until && (isRestricted || wanted.until !== null);
}

function findMember(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  userId: bigint,
): PendingQuery<(MemberRow & { readonly now: bigint })[]> {
  return sql<(MemberRow & { readonly now: bigint })[]>`
    select ${memberColumns(sql)}, now_ms() as now
    from channel_members m
    where m.channel_id = ${channelId}
      and m.tenant_id = ${tenantId}
      and m.user_id = ${userId}
      and is_member_status(m.status)
  `;
}

/** Restricts a member, or ends the restriction. The channel's row must be locked. */
function updateRestriction(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  userId: bigint,
  actorId: bigint,
  restriction: Restriction | undefined,
): PendingQuery<MemberRow[]> {
  return sql<MemberRow[]>`
    update channel_members m
    set status = ${restriction === undefined ? 'ACTIVE' : 'MUTED'},
        restricted_by = ${restriction === undefined ? null : actorId},
        restricted_until = ${restriction?.until ?? null},
        updated_at = now_ms()
    where m.channel_id = ${channelId}
      and m.tenant_id = ${tenantId}
      and m.user_id = ${userId}
      and is_member_status(m.status)
    returning ${memberColumns(sql)}
  `;
}
