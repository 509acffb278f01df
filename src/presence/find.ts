import type { MessageInitShape } from '@bufbuild/protobuf';
import type { UserPresenceSchema } from '#gen/serp/discuss/v1/presence_pb.ts';
import type { Database } from '../db/database.ts';
import type { Call } from '../rpc/call.ts';
import type { Presence } from './presence.ts';
import { findStatusOverride, listStatusTexts } from './sql.ts';
import { toStatusOverride, toUserPresence } from './view.ts';

/** Kind of a device that states none. */
export const OTHER_KIND = 'other';

/** Presence of users of the caller's tenant, in the order of the ids. */
export async function findPresence(
  { db, presence }: { readonly db: Database; readonly presence: Presence },
  call: Call,
  userIds: readonly bigint[],
): Promise<MessageInitShape<typeof UserPresenceSchema>[]> {
  const { tenantId, userId: callerId } = call.caller;
  const [views, rows, own] = await Promise.all([
    presence.read(tenantId, userIds),
    db.run(call, (sql) => listStatusTexts(sql, userIds)),
    userIds.includes(callerId) ? db.run(call, (sql) => findStatusOverride(sql, tenantId, callerId)) : [],
  ]);
  const texts = new Map(rows.map((row) => [row.userId, row]));
  return userIds.map((userId, index) => {
    const statusOverride = userId === callerId ? toStatusOverride(own[0]) : undefined;
    return toUserPresence(userId, views[index] ?? 'unknown', texts.get(userId), statusOverride);
  });
}
