import { toTimestamp } from '../db/time.ts';
import { type PatchableEvent, toPatchable } from '../event/log/wire.ts';
import type { MessageRow } from '../message/sql.ts';

/** The event that a message was pinned or unpinned. */
export function toPinChanged(row: MessageRow, actorId: bigint): PatchableEvent {
  const value = { messageId: row.id, pinTime: toTimestamp(row.pinnedAt), pinnerId: row.pinnedBy ?? 0n };
  return toPatchable({ channelId: row.channelId, actorId, change: { case: 'pinChanged', value } });
}
