import type { Config } from '../config.ts';
import type { Sql } from '../db/types.ts';
import type { Role } from '../membership/sql.ts';
import type { Caller } from '../rpc/call.ts';
import { isManager } from '../rpc/caller.ts';
import { errors } from '../rpc/errors.ts';
import { type AccessRow, type ChannelType, findChannel, lockChannel, lockPublicGroup } from './sql.ts';

/** What decides whether a caller sees a channel. */
export type Visibility = {
  readonly type: ChannelType;
  readonly isPrivate: boolean;
  /** Role of the caller; null for callers who are not members. */
  readonly role: Role | null;
};

const ranks: Readonly<Record<Role, number>> = { GUEST: 1, MEMBER: 2, ADMIN: 3, OWNER: 4 };

/** Whether the caller is a member, the channel is a public group, or the caller is a manager. */
export function isVisible(caller: Caller, { type, isPrivate, role }: Visibility): boolean {
  const isPublic = type === 'GROUP' && !isPrivate;
  return role !== null || isPublic || isManager(caller);
}

/** Throws NOT_FOUND unless the caller may see the channel. */
export function requireVisible<Row extends Visibility>(caller: Caller, row: Row | undefined): Row {
  if (row === undefined || !isVisible(caller, row)) throw errors.channelNotFound();
  return row;
}

/** Throws unless the caller has this role in the channel, or a higher one. */
export function requireRole(caller: Caller, { role }: { readonly role: Role | null }, needed: Role): void {
  const allowed = isManager(caller) || (role !== null && ranks[role] >= ranks[needed]);
  if (!allowed) throw errors.roleTooLow(needed, role);
}

/**
 * Locks a channel and returns its state under the lock. Until the end of the transaction, the channel, its members
 * and their roles cannot change, and no message can be posted.
 */
export async function lockVisible(sql: Sql, caller: Caller, channelId: bigint): Promise<AccessRow> {
  return requireVisible(caller, await lockIfFound(sql, caller, channelId));
}

/** The same without a check of visibility; undefined when the caller's policies hide the channel. */
export async function lockIfFound(
  sql: Sql,
  caller: Caller,
  channelId: bigint,
): Promise<AccessRow | undefined> {
  // Two statements, because a statement that waited for a lock does not see what was committed meanwhile.
  const [, [row]] = await Promise.all([
    lockChannel(sql, caller.tenantId, channelId),
    findChannel(sql, caller.tenantId, caller.userId, channelId),
  ]);
  return row;
}

/** The same for a caller who may not be a member. Only public groups are locked then. */
export async function lockToJoin(sql: Sql, caller: Caller, channelId: bigint): Promise<AccessRow> {
  const [, [row]] = await Promise.all([
    lockPublicGroup(sql, channelId),
    findChannel(sql, caller.tenantId, caller.userId, channelId),
  ]);
  return requireVisible(caller, row);
}

export function rejectDirect({ type }: { readonly type: ChannelType }): void {
  if (type === 'DIRECT') throw errors.channelIsDirect();
}

export function rejectArchived({
  isArchived,
  mergedInto,
}: {
  readonly isArchived: boolean;
  /** The channel that this one was merged into. */
  readonly mergedInto: bigint | null;
}): void {
  if (isArchived) throw errors.channelArchived(mergedInto);
}

/** `members` is the number of members after the change. */
export function rejectOverfull({ channel }: Config, members: number): void {
  if (members > channel.maxMembers) throw errors.channelFull(channel.maxMembers, members);
}
