import type { PendingQuery } from 'postgres';
import type { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { SystemNoticeKind } from '#gen/serp/discuss/v1/message_pb.ts';
import type { CallScope } from '../db/database.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import { appendEvent } from '../event/log/sql.ts';
import { postNotices } from '../notice/sql.ts';
import type { Handlers } from '../rpc/call.ts';
import { isManager } from '../rpc/caller.ts';
import { errors } from '../rpc/errors.ts';
import { requireEtag } from '../rpc/etag.ts';
import { lockVisible, rejectDirect, requireRole } from './access.ts';
import { type ChannelRow, channelColumns } from './sql.ts';
import { channelEtag, toChannel, toChannelChanged, toChannelDeleted } from './view.ts';

type LifecycleHandlers = Pick<
  Handlers<typeof ChannelService>,
  'archiveChannel' | 'unarchiveChannel' | 'deleteChannel'
>;

export function lifecycleHandlers(deps: Deps): LifecycleHandlers {
  return {
    async archiveChannel(request, call) {
      return { channel: toChannel(await setArchived(deps, call, request, true)) };
    },

    async unarchiveChannel(request, call) {
      return { channel: toChannel(await setArchived(deps, call, request, false)) };
    },

    async deleteChannel({ channelId, etag }, call) {
      const { tenantId, userId } = call.caller;
      const events = await deps.db.lockingTransaction(call, channelId, async (sql) => {
        const channel = await lockVisible(sql, call.caller, channelId);
        requireRole(call.caller, channel, 'GUEST');
        if (!isManager(call.caller)) rejectDirect(channel);
        requireRole(call.caller, channel, 'OWNER');
        requireEtag(etag, channelEtag(channel));
        await updateDeleted(sql, tenantId, channelId);
        return appendEvent(sql, channelId, 'CHANNEL_DELETED', userId, toChannelDeleted(channelId, userId));
      });
      deps.relay.publish(call.caller.tenantId, events);
      return {};
    },
  };
}

/** Archives or unarchives a channel with the rights of the caller. */
export async function setArchived(
  deps: Pick<Deps, 'db' | 'relay' | 'config'>,
  scope: CallScope,
  { channelId, etag = '' }: { readonly channelId: bigint; readonly etag?: string },
  archived: boolean,
): Promise<ChannelRow> {
  const { caller } = scope;
  const { tenantId, userId } = caller;
  const { channel, events } = await deps.db.lockingTransaction(scope, channelId, async (sql) => {
    const before = await lockVisible(sql, caller, channelId);
    requireRole(caller, before, 'GUEST');
    rejectDirect(before);
    requireRole(caller, before, 'OWNER');
    if (before.isArchived === archived) return { channel: before, events: [] };
    requireEtag(etag, channelEtag(before));
    if (before.mergedInto !== null) throw errors.channelMerged(before.mergedInto);
    const [channel] = await updateArchived(sql, tenantId, channelId, archived);
    if (channel === undefined) throw errors.channelNotFound();
    const kind = archived ? SystemNoticeKind.CHANNEL_ARCHIVED : SystemNoticeKind.CHANNEL_UNARCHIVED;
    const events = await Promise.all([
      appendEvent(sql, channelId, 'CHANNEL_CHANGED', userId, toChannelChanged(channel, userId, false)),
      ...postNotices({ sql, caller, config: deps.config }, channelId, { kind }),
    ]);
    return { channel, events: events.flat() };
  });
  deps.relay.publish(caller.tenantId, events);
  return channel;
}

/** Archives or unarchives a channel. Its row must be locked. */
function updateArchived(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  archived: boolean,
): PendingQuery<ChannelRow[]> {
  return sql<ChannelRow[]>`
    update channels c
    set is_archived = ${archived},
        updated_at = greatest(c.updated_at, now_ms())
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
    returning ${channelColumns(sql)}
  `;
}

/** Soft-deletes a channel. Its row must be locked. */
function updateDeleted(sql: Sql, tenantId: bigint, channelId: bigint): PendingQuery<never[]> {
  return sql<never[]>`
    update channels c
    set deleted_at = t.now,
        updated_at = greatest(c.updated_at, t.now)
    from (select now_ms() as now) as t
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
  `;
}
