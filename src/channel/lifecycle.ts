import type { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { SystemNoticeKind } from '#gen/serp/discuss/v1/message_pb.ts';
import type { CallScope } from '../db/database.ts';
import type { Deps } from '../deps.ts';
import { appendEvent } from '../event/log/sql.ts';
import { postNotices } from '../notice/sql.ts';
import type { Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { isManager, lockVisible, rejectDirect, requireRole } from './access.ts';
import { updateArchived, updateDeleted } from './lifecycle-sql.ts';
import type { ChannelRow } from './sql.ts';
import { toChannel, toChannelChanged, toChannelDeleted } from './view.ts';

type LifecycleHandlers = Pick<
  Handlers<typeof ChannelService>,
  'archiveChannel' | 'unarchiveChannel' | 'deleteChannel'
>;

export function lifecycleHandlers(deps: Deps): LifecycleHandlers {
  return {
    async archiveChannel({ channelId }, call) {
      return { channel: toChannel(await setArchived(deps, call, channelId, true)) };
    },

    async unarchiveChannel({ channelId }, call) {
      return { channel: toChannel(await setArchived(deps, call, channelId, false)) };
    },

    async deleteChannel({ channelId }, call) {
      const { tenantId, userId } = call.caller;
      const events = await deps.db.transaction(call, async (sql) => {
        const channel = await lockVisible(sql, call.caller, channelId);
        requireRole(call.caller, channel, 'GUEST');
        if (!isManager(call.caller)) rejectDirect(channel);
        requireRole(call.caller, channel, 'OWNER');
        await updateDeleted(sql, tenantId, channelId);
        return appendEvent(sql, channelId, 'CHANNEL_DELETED', userId, toChannelDeleted(channelId, userId));
      });
      deps.relay.publish(events);
      return {};
    },
  };
}

/** Archives a channel, or opens it again, with the caller's rights. */
export async function setArchived(
  deps: Pick<Deps, 'db' | 'relay' | 'config'>,
  scope: CallScope,
  channelId: bigint,
  archived: boolean,
): Promise<ChannelRow> {
  const { caller } = scope;
  const { tenantId, userId } = caller;
  const { channel, events } = await deps.db.transaction(scope, async (sql) => {
    const before = await lockVisible(sql, caller, channelId);
    requireRole(caller, before, 'GUEST');
    rejectDirect(before);
    requireRole(caller, before, 'OWNER');
    if (before.isArchived === archived) return { channel: before, events: [] };
    if (before.mergedInto !== null) throw errors.channelMerged();
    const [channel] = await updateArchived(sql, tenantId, channelId, archived);
    if (channel === undefined) throw errors.channelNotFound();
    const kind = archived ? SystemNoticeKind.CHANNEL_ARCHIVED : SystemNoticeKind.CHANNEL_UNARCHIVED;
    const events = await Promise.all([
      appendEvent(sql, channelId, 'CHANNEL_CHANGED', userId, toChannelChanged(channel, userId, false)),
      ...postNotices({ sql, caller, config: deps.config }, channelId, { kind }),
    ]);
    return { channel, events: events.flat() };
  });
  deps.relay.publish(events);
  return channel;
}
