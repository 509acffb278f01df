import { lockChannel } from '../channel/sql.ts';
import type { Config } from '../config.ts';
import type { Sql } from '../db/types.ts';
import type { Caller } from '../rpc/call.ts';
import { isManager } from '../rpc/caller.ts';
import { errors } from '../rpc/errors.ts';
import { type AudienceRow, findLocked, type LockedRow } from './sql.ts';

/**
 * Locks the channel of a message that the caller may act on, and returns the message under the lock: until the end of
 * the transaction it cannot change or get replies. The message may be deleted.
 */
export async function lockMessage(
  sql: Sql,
  caller: Caller,
  channelId: bigint,
  messageId: bigint,
): Promise<LockedRow> {
  const row = await lockMessageToDelete(sql, caller, channelId, messageId);
  if (row.isRestricted === true) throw errors.memberMuted();
  return row;
}

/** The same for a caller who may be muted: an author may always delete the own message. */
export async function lockMessageToDelete(
  sql: Sql,
  caller: Caller,
  channelId: bigint,
  messageId: bigint,
): Promise<LockedRow> {
  // Two statements, because a statement that waited for a lock does not see what was committed meanwhile.
  const [, [row]] = await Promise.all([
    lockChannel(sql, caller.tenantId, channelId),
    findLocked(sql, caller.tenantId, caller.userId, channelId, messageId),
  ]);
  if (row === undefined || (row.role === null && !isManager(caller))) throw errors.messageNotFound();
  if (row.isArchived) throw errors.channelArchived(row.mergedInto);
  return row;
}

export function rejectDeleted({ isDeleted }: { readonly isDeleted: boolean }): void {
  if (isDeleted) throw errors.messageDeleted();
}

const MAX_CHARACTERS = 10_000;
const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

/**
 * Rejects a text that is blank or longer than 10,000 grapheme clusters. Only a text of more UTF-16 units than that is
 * segmented, which costs 1 to 6 ms; the proto bounds its bytes.
 */
export function requireContent(content: string, mayBeEmpty = false): void {
  if (content === '' && mayBeEmpty) return;
  if (!/\S/.test(content)) throw errors.fieldInvalid('content', 'must not be blank');
  if (content.length <= MAX_CHARACTERS) return;
  let count = 0;
  for (const _ of graphemes.segment(content)) {
    count += 1;
    if (count > MAX_CHARACTERS)
      throw errors.fieldInvalid('content', `must be at most ${MAX_CHARACTERS} characters`);
  }
}

/** The users that a message may mention, without duplicates: in a private channel, members only. */
export function allowedMentions(userIds: readonly bigint[], audience: AudienceRow | undefined): bigint[] {
  const wanted = [...new Set(userIds)];
  if (audience === undefined || !audience.isPrivate) return wanted;
  const members = new Set(audience.members);
  return wanted.filter((userId) => members.has(userId));
}

/** Whether the caller may mention the whole channel. */
export function mayMentionAll(
  { message }: Config,
  caller: Caller,
  { role, memberCount }: Pick<AudienceRow, 'role' | 'memberCount'>,
): boolean {
  const isAdmin = isManager(caller) || role === 'ADMIN' || role === 'OWNER';
  return memberCount <= (isAdmin ? message.mentionAllAdminMaxMembers : message.mentionAllMaxMembers);
}

/** The requested users that the message does not mention. */
export function ignoredMentions(
  asked: readonly bigint[],
  mentioned: readonly bigint[] | undefined,
): bigint[] {
  const allowed = new Set(mentioned);
  return [...new Set(asked)].filter((userId) => !allowed.has(userId));
}
