import type { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { SystemNoticeKind } from '#gen/serp/discuss/v1/message_pb.ts';
import type { Deps } from '../deps.ts';
import { appendEvent } from '../event/log/sql.ts';
import { postNotices } from '../notice/sql.ts';
import type { Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { lockVisible, rejectArchived, requireRole } from './access.ts';
import { findChannel } from './sql.ts';
import { toChannel, toChannelChanged } from './view.ts';

type EncryptionHandlers = Pick<Handlers<typeof ChannelService>, 'enableEncryption'>;

export function encryptionHandlers({ config, db, encryption, relay }: Deps): EncryptionHandlers {
  return {
    async enableEncryption({ channelId }, call) {
      const { caller } = call;
      const { tenantId, userId } = caller;
      const { channel, events } = await db.lockingTransaction(call, channelId, async (sql) => {
        const before = await lockVisible(sql, caller, channelId);
        requireRole(caller, before, before.type === 'DIRECT' ? 'MEMBER' : 'ADMIN');
        if (before.encryptedAt !== null) return { channel: before, events: [] };
        rejectArchived(before);
        await encryption.enable(sql, tenantId, channelId);
        const [channel] = await findChannel(sql, tenantId, userId, channelId);
        if (channel === undefined) throw errors.channelNotFound();
        const changed = toChannelChanged(channel, userId, false);
        const kind = SystemNoticeKind.ENCRYPTION_ENABLED;
        const events = await Promise.all([
          appendEvent(sql, channelId, 'CHANNEL_CHANGED', userId, changed),
          ...postNotices({ sql, caller, config }, channelId, { kind }),
        ]);
        return { channel, events: events.flat() };
      });
      encryption.forget(channelId);
      relay.publish(tenantId, events);
      return { channel: toChannel(channel) };
    },
  };
}
