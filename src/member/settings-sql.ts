import type { PendingQuery } from 'postgres';
import type { Sql } from '../db/types.ts';
import { type MembershipRow, membershipColumns } from '../membership/sql.ts';

export type SettingsChange = {
  readonly isPinned: boolean | undefined;
  readonly isMuted: boolean | undefined;
  readonly notificationLevel: string | undefined;
  readonly metadata: string | null | undefined;
};

/** The user's membership after what is not undefined has changed; no row when they are no member. */
export function updateSettings(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: bigint,
  change: SettingsChange,
): PendingQuery<MembershipRow[]> {
  const { isPinned, isMuted, notificationLevel, metadata } = change;
  return sql<MembershipRow[]>`
    update channel_members m
    set
      ${isPinned === undefined ? sql`` : sql`is_pinned = ${isPinned},`}
      ${isMuted === undefined ? sql`` : sql`is_muted = ${isMuted},`}
      ${notificationLevel === undefined ? sql`` : sql`notification_level = ${notificationLevel},`}
      ${metadata === undefined ? sql`` : sql`metadata = ${metadata}::text::jsonb,`}
      updated_at = now_ms()
    from channels c
    where m.channel_id = ${channelId}
      and m.tenant_id = ${tenantId}
      and m.user_id = ${userId}
      and is_member_status(m.status)
      and c.id = m.channel_id
      and c.tenant_id = m.tenant_id
      and c.deleted_at is null
    returning ${membershipColumns(sql)}
  `;
}
