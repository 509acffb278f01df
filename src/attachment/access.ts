import type { Sql } from '../db/types.ts';
import type { Caller } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { type AttachmentRow, type findAttachment, findPoster, findUnsent, type PosterRow } from './sql.ts';

/** Throws unless the caller may post in the channel. */
export async function requirePoster(
  sql: Sql,
  { tenantId, userId }: Caller,
  channelId: bigint,
): Promise<PosterRow> {
  const [member] = await findPoster(sql, tenantId, userId, channelId);
  if (member === undefined) throw errors.channelNotFound();
  if (member.isRestricted) throw errors.memberMuted();
  if (member.isArchived) throw errors.channelArchived();
  return member;
}

/** A row of `findAttachment`; throws NOT_FOUND without membership, or without a file. */
export function requireFound(
  row: Awaited<ReturnType<typeof findAttachment>>[number] | undefined,
): AttachmentRow {
  if (row === undefined) throw errors.channelNotFound();
  if (row.id === null) throw errors.attachmentNotFound();
  return row;
}

/** The same for a file that the caller uploaded. */
export function requireOwn(
  { userId }: Caller,
  row: Awaited<ReturnType<typeof findAttachment>>[number] | undefined,
): AttachmentRow {
  const found = requireFound(row);
  if (found.uploaderId !== userId) throw errors.attachmentNotFound();
  return found;
}

/** The files that a message is to contain, in their order. The batch that sends it checks again, by their versions. */
export async function findSendable(
  run: (statement: (sql: Sql) => ReturnType<typeof findUnsent>) => Promise<readonly AttachmentRow[]>,
  { tenantId, userId }: Caller,
  channelId: bigint,
  attachmentIds: readonly bigint[],
): Promise<AttachmentRow[]> {
  if (attachmentIds.length === 0) return [];
  const rows = await run((sql) => findUnsent(sql, tenantId, userId, channelId, attachmentIds));
  return attachmentIds.map((id) => {
    const row = rows.find((each) => each.id === id);
    if (row === undefined) throw errors.attachmentNotFound(id);
    if (row.scanStatus === 'INFECTED') throw errors.attachmentNotClean(id, row.scanStatus);
    return row;
  });
}
