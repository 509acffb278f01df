import type { MessageShape } from '@bufbuild/protobuf';
import type { PendingQuery } from 'postgres';
import type { MemberService, UpdateMembershipRequestSchema } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { lockVisible } from '../channel/access.ts';
import { fromMetadataJson, toMetadataJson } from '../db/metadata.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import { appendEvent } from '../event/log/sql.ts';
import { type MembershipRow, membershipColumns } from '../membership/sql.ts';
import { membershipEtag, toLevelColumn, toMembership } from '../membership/view.ts';
import type { Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { requireEtag } from '../rpc/etag.ts';
import { maskPaths } from '../rpc/field-mask.ts';
import { toMembersChanged } from './view.ts';

type SettingsRequest = MessageShape<typeof UpdateMembershipRequestSchema>;
type SettingsHandlers = Pick<Handlers<typeof MemberService>, 'updateMembership'>;

const MAX_NICKNAME = 100;

export function settingsHandlers({ db, relay }: Deps): SettingsHandlers {
  return {
    async updateMembership(request, call) {
      const { tenantId, userId } = call.caller;
      const { channelId } = request;
      const change = toChange(request);
      const { row, events } = await db.lockingTransaction(call, channelId, async (sql) => {
        const before = await lockVisible(sql, call.caller, channelId);
        if (before.role === null) throw errors.memberNotFound();
        const [row] = await updateSettings(sql, tenantId, userId, channelId, change);
        if (row === undefined) throw errors.memberNotFound();
        requireEtag(request.etag, membershipEtag(before), membershipEtag(row));
        const nickname = toNickname(row.memberMetadata);
        if (nickname === toNickname(before.memberMetadata)) return { row, events: [] };
        const changed = toMembersChanged(channelId, userId, [{ ...row, userId, nickname }]);
        return { row, events: await appendEvent(sql, channelId, 'MEMBERS_CHANGED', userId, changed) };
      });
      const membership = toMembership(channelId, row);
      relay.publish(call.caller.tenantId, events);
      relay.signal(tenantId, userId, { case: 'membershipChanged', value: { membership } });
      return { membership };
    },
  };
}

function toChange(request: SettingsRequest): SettingsChange {
  const paths = maskPaths(request.updateMask, ['pinned', 'muted', 'notification_level', 'metadata']);
  if (paths.has('metadata')) requireNickname(request);
  return {
    isPinned: paths.has('pinned') ? request.pinned : undefined,
    isMuted: paths.has('muted') ? request.muted : undefined,
    notificationLevel: paths.has('notification_level') ? toLevel(request) : undefined,
    metadata: paths.has('metadata') ? toMetadataJson('metadata', request.metadata) : undefined,
  };
}

function toLevel({ notificationLevel }: SettingsRequest): string {
  const level = toLevelColumn(notificationLevel);
  if (level === undefined) throw errors.fieldInvalid('notification_level', 'is required');
  return level;
}

function requireNickname({ metadata }: SettingsRequest): void {
  const nickname = metadata?.['nickname'];
  if (nickname === undefined || nickname === null) return;
  if (typeof nickname !== 'string') throw errors.fieldInvalid('metadata', 'nickname must be a string');
  if ([...nickname].length > MAX_NICKNAME)
    throw errors.fieldInvalid('metadata', `nickname must be at most ${MAX_NICKNAME} characters`);
}

function toNickname(metadata: string | null): string {
  const nickname = fromMetadataJson(metadata)?.['nickname'];
  return typeof nickname === 'string' ? nickname : '';
}

type SettingsChange = {
  readonly isPinned: boolean | undefined;
  readonly isMuted: boolean | undefined;
  readonly notificationLevel: string | undefined;
  readonly metadata: string | null | undefined;
};

/** Updates the settings that are not undefined and returns the membership; no row when the user is not a member. */
function updateSettings(
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
      ${notificationLevel === undefined ? sql`` : sql`notification_level = ${notificationLevel}, wants_messages = ${notificationLevel === 'ALL'},`}
      ${metadata === undefined ? sql`` : sql`metadata = ${metadata}::text::jsonb,`}
      updated_at = now_ms(),
      version = m.version + 1
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
