import { type PatchableEvent, toPatchable } from '../event/log/wire.ts';
import type { MessageRow } from '../message/sql.ts';
import { toMessage } from '../message/view.ts';

/** The event that votes changed, or the poll was closed. */
export function toPollChanged(row: MessageRow, actorId: bigint): PatchableEvent {
  const { poll, encryptedContent } = toMessage(row);
  const value = { messageId: row.id, poll, ...(encryptedContent && { encryptedContent }) };
  const change = { case: 'pollChanged', value } as const;
  return toPatchable({
    channelId: row.channelId,
    actorId,
    encrypted: encryptedContent !== undefined,
    change,
  });
}
