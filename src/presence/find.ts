import type { MessageInitShape } from '@bufbuild/protobuf';
import type { UserPresenceSchema } from '#gen/serp/discuss/v1/presence_pb.ts';
import type { Database } from '../db/database.ts';
import type { Call } from '../rpc/call.ts';
import type { Presence } from './presence.ts';
import { findChosen, findTexts } from './sql.ts';
import { toUserPresence, toUserStatus } from './view.ts';

/** Kind of a device that does not say. */
export const OTHER_KIND = 'other';

/** Users of the caller's tenant as others see them, in the order asked. */
export async function findPresence(
  { db, presence }: { readonly db: Database; readonly presence: Presence },
  call: Call,
  userIds: readonly bigint[],
): Promise<MessageInitShape<typeof UserPresenceSchema>[]> {
  const { tenantId, userId: callerId } = call.caller;
  const [seen, rows, own] = await Promise.all([
    presence.read(tenantId, userIds),
    db.run(call, (sql) => findTexts(sql, userIds)),
    userIds.includes(callerId) ? db.run(call, (sql) => findChosen(sql, tenantId, callerId)) : [],
  ]);
  const texts = new Map(rows.map((row) => [row.userId, row]));
  return userIds.map((userId, index) => {
    const chosen = userId === callerId ? toUserStatus(own[0]) : undefined;
    return toUserPresence(userId, seen[index] ?? 'unknown', texts.get(userId), chosen);
  });
}
