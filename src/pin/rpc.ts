import { MessageSchema } from '#gen/serp/discuss/v1/message_pb.ts';
import type { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { requireRole } from '../channel/access.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import { openOne, openPage } from '../encryption/content.ts';
import { appendEvent } from '../event/log/sql.ts';
import type { LoggedEvent } from '../event/log/wire.ts';
import { lockMessage, rejectDeleted } from '../message/access.ts';
import type { MessageRow } from '../message/sql.ts';
import { toMessage } from '../message/view.ts';
import type { Caller, Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { fromPageToken, pageOfItems } from '../rpc/page-token.ts';
import { countPins, listPins, updatePin } from './sql.ts';
import { toPinChanged } from './view.ts';

type PinHandlers = Pick<Handlers<typeof MessageService>, 'pinMessage' | 'unpinMessage' | 'listPins'>;
type Changed = { readonly message: MessageRow; readonly events: readonly LoggedEvent[] };

export function pinRoutes({ db, relay, config, encryption }: Deps): PinHandlers {
  return {
    async pinMessage({ channelId, messageId }, call) {
      const { tenantId, userId } = call.caller;
      const { message, events } = await db.lockingTransaction(
        call,
        channelId,
        async (sql): Promise<Changed> => {
          const row = await lockMessage(sql, call.caller, channelId, messageId);
          requireRole(call.caller, row, 'MEMBER');
          rejectDeleted(row);
          if (row.pinnedAt !== null) return { message: row, events: [] };
          const [found] = await countPins(sql, tenantId, channelId);
          if ((found?.pins ?? 0) >= config.channel.maxPins) throw errors.pinLimit(config.channel.maxPins);
          return change(sql, call.caller, messageId, { at: row.now, by: userId });
        },
      );
      relay.publish(call.caller.tenantId, events);
      return { message: await openOne(encryption.keys, toMessage(message)) };
    },

    async unpinMessage({ channelId, messageId }, call) {
      const { message, events } = await db.lockingTransaction(
        call,
        channelId,
        async (sql): Promise<Changed> => {
          const row = await lockMessage(sql, call.caller, channelId, messageId);
          requireRole(call.caller, row, 'MEMBER');
          if (row.pinnedAt === null) return { message: row, events: [] };
          return change(sql, call.caller, messageId, null);
        },
      );
      relay.publish(call.caller.tenantId, events);
      return { message: await openOne(encryption.keys, toMessage(message)) };
    },

    async listPins({ channelId, pageSize, pageToken }, call) {
      const before = fromPageToken(pageToken, 1)?.[0] ?? null;
      const rows = await db.run(call, (sql) => listPins(sql, call.caller, channelId, before, pageSize + 1));
      if (rows.length === 0) throw errors.channelNotFound();
      const pins = rows.flatMap((row) => (row.id === null ? [] : [row]));
      const { items, nextPageToken } = pageOfItems(pins, pageSize, MessageSchema, toMessage, (last) => [
        last.pinSeq,
      ]);
      await openPage(encryption.keys, items);
      return { messages: items, nextPageToken };
    },
  };
}

async function change(
  sql: Sql,
  { tenantId, userId }: Caller,
  messageId: bigint,
  pin: { readonly at: bigint; readonly by: bigint } | null,
): Promise<Changed> {
  const [message] = await updatePin(sql, tenantId, messageId, pin);
  if (message === undefined) throw errors.messageNotFound();
  const changed = toPinChanged(message, userId);
  return {
    message,
    events: await appendEvent(sql, message.channelId, 'PIN_CHANGED', userId, changed, messageId),
  };
}
