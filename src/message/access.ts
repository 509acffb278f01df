import { isManager } from '../channel/access.ts';
import { lockChannel } from '../channel/sql.ts';
import type { Sql } from '../db/types.ts';
import type { Caller } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { findLocked, type LockedRow } from './sql.ts';

/**
 * A message that the caller may change something of, as it is once its channel is locked: nobody changes it, nor
 * replies to it, before the end of the transaction. It may be deleted.
 */
export async function lockMessage(
  sql: Sql,
  caller: Caller,
  channelId: bigint,
  messageId: bigint,
): Promise<LockedRow> {
  // Two statements: the first may wait, and a statement sees nothing that was committed after it began.
  const [, [row]] = await Promise.all([
    lockChannel(sql, caller.tenantId, channelId),
    findLocked(sql, caller.tenantId, caller.userId, channelId, messageId),
  ]);
  if (row === undefined || (row.role === null && !isManager(caller))) throw errors.messageNotFound();
  if (row.status === 'MUTED') throw errors.memberMuted();
  if (row.isArchived) throw errors.channelArchived();
  return row;
}

export function rejectDeleted({ isDeleted }: { readonly isDeleted: boolean }): void {
  if (isDeleted) throw errors.messageDeleted();
}
