import { isManager } from '../channel/access.ts';
import type { Config } from '../config.ts';
import type { Caller } from '../rpc/call.ts';
import type { AudienceRow } from './sql.ts';

/** Each user once, and in a private channel its members alone. */
export function keepMentions(userIds: readonly bigint[], audience: AudienceRow | undefined): bigint[] {
  const wanted = [...new Set(userIds)];
  if (audience === undefined || !audience.isPrivate) return wanted;
  const members = new Set(audience.members);
  return wanted.filter((userId) => members.has(userId));
}

/** Whether the caller may mention everybody. */
export function mayMentionAll(
  { message }: Config,
  caller: Caller,
  { role, memberCount }: Pick<AudienceRow, 'role' | 'memberCount'>,
): boolean {
  const isAdmin = isManager(caller) || role === 'ADMIN' || role === 'OWNER';
  return isAdmin || memberCount <= message.mentionAllMaxMembers;
}

/** Those asked for whom the message does not mention. */
export function leftOut(asked: readonly bigint[], mentioned: readonly bigint[] | undefined): bigint[] {
  const kept = new Set(mentioned);
  return [...new Set(asked)].filter((userId) => !kept.has(userId));
}
