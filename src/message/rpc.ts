import type { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { openOne } from '../encryption/content.ts';
import type { Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { batchHandlers } from './batch.ts';
import type { MessageCache } from './cache.ts';
import { deleteHandlers } from './delete.ts';
import { editHandlers } from './edit.ts';
import { historyHandlers } from './history.ts';
import { type SendDeps, sendHandlers } from './send.ts';
import { sendItemHandlers } from './send-items.ts';
import { findMessage } from './sql.ts';
import { versionHandlers } from './versions.ts';
import { toMessage } from './view.ts';

export type MessageDeps = SendDeps & { readonly messageCache: MessageCache };

type MessageHandlers = Pick<
  Handlers<typeof MessageService>,
  | 'sendMessage'
  | 'batchSendMessages'
  | 'sendMessages'
  | 'getMessage'
  | 'batchGetMessages'
  | 'listMessages'
  | 'editMessage'
  | 'listEdits'
  | 'deleteMessage'
>;

export function messageRoutes(deps: MessageDeps): MessageHandlers {
  return {
    ...sendHandlers(deps),
    ...sendItemHandlers(deps),
    ...batchHandlers(deps),
    ...historyHandlers(deps),
    ...editHandlers(deps),
    ...deleteHandlers(deps),
    ...versionHandlers(deps),

    async getMessage({ channelId, messageId }, call) {
      const [row] = await deps.db.run(call, (sql) => findMessage(sql, call.caller, channelId, messageId));
      if (row === undefined) throw errors.messageNotFound();
      return { message: await openOne(deps.encryption.keys, toMessage(row)) };
    },
  };
}
