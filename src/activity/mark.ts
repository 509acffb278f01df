import type { PendingQuery } from 'postgres';
import type { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import type { Handlers } from '../rpc/call.ts';
import { fromSnapshotToken, signalRead } from './view.ts';

type MarkHandlers = Pick<Handlers<typeof ActivityService>, 'markActivityRead' | 'markAllActivitiesRead'>;

export function markHandlers({ db, relay }: Deps): MarkHandlers {
  return {
    async markActivityRead({ activityIds }, call) {
      const { tenantId, userId } = call.caller;
      const marked = await db.run(call, (sql) => markRead(sql, tenantId, userId, activityIds));
      signalRead(relay, call.caller, marked.map(toId));
      return { markedCount: marked.length };
    },

    async markAllActivitiesRead({ snapshotToken, upToTime }, call) {
      const { tenantId, userId } = call.caller;
      const upTo = {
        snapshot: fromSnapshotToken(snapshotToken),
        timestamp:
          upToTime === undefined ? undefined : upToTime.seconds * 1000n + BigInt(upToTime.nanos) / 1_000_000n,
      };
      const marked = await db.run(call, (sql) => markAllRead(sql, tenantId, userId, upTo));
      signalRead(relay, call.caller, marked.map(toId));
      return { markedCount: marked.length };
    },
  };
}

const toId = ({ id }: MarkedRow) => id;

type MarkedRow = { readonly id: bigint };

/** Marks some of the user's activities as read. Returns those that were unread. */
function markRead(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  ids: readonly bigint[],
): PendingQuery<MarkedRow[]> {
  return mark(sql, tenantId, userId, sql`and a.id = any(${sql.array([...ids], 1016)})`);
}

/** Marks the activities that a snapshot contained as read, up to a time. Returns those that were unread. */
function markAllRead(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  upTo: { readonly snapshot: string | undefined; readonly timestamp: bigint | undefined },
): PendingQuery<MarkedRow[]> {
  const { snapshot, timestamp } = upTo;
  // A transaction id ahead of this server's comes from the server that the database was copied from.
  const held = sql`
    and (
      pg_visible_in_snapshot(a.xid, ${snapshot ?? ''}::text::pg_snapshot)
      or a.xid >= pg_snapshot_xmax(pg_current_snapshot())
    )
  `;
  return mark(
    sql,
    tenantId,
    userId,
    sql`
      ${snapshot === undefined ? sql`` : held}
      ${timestamp === undefined ? sql`` : sql`and a."timestamp" <= ${timestamp}`}
    `,
  );
}

// Locks rows in the order of record_activities().
function mark(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  condition: PendingQuery<never[]>,
): PendingQuery<MarkedRow[]> {
  return sql<MarkedRow[]>`
    with unread as materialized (
      select a.id, a."timestamp"
      from activity_feed a
      where a.tenant_id = ${tenantId}
        and a.user_id = ${userId}
        and a.is_read = false
        ${condition}
      order by a.id
      for no key update
    )
    update activity_feed a
    set is_read = true,
        read_at = now_ms()
    from unread u
    where a.id = u.id and a."timestamp" = u."timestamp"
    returning a.id
  `;
}
