import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  PresenceStatus,
  type StatusOverrideSchema,
  type UserPresenceSchema,
} from '#gen/serp/discuss/v1/presence_pb.ts';
import { toTimestamp } from '../db/time.ts';
import type { StatusOverrideRow } from './sql.ts';
import { type PresenceState, toStatus } from './state.ts';

/** Presence of a user; `unknown` while it cannot be read from Redis. */
export type PresenceView = PresenceState | 'unknown';

type Text = { readonly statusText: string | null; readonly expiresAt: bigint | null };

/** Presence as others see it; `statusOverride` is added for the user alone. */
export function toUserPresence(
  userId: bigint,
  view: PresenceView,
  text: Text | undefined,
  statusOverride?: MessageInitShape<typeof StatusOverrideSchema>,
): MessageInitShape<typeof UserPresenceSchema> {
  const own = { userId, ...toText(text), ...(statusOverride === undefined ? {} : { statusOverride }) };
  if (view === 'unknown') return { ...own, status: PresenceStatus.UNKNOWN };
  const { status, version, lastSeen } = view;
  const showsLastSeen = status === 'OFFLINE' && lastSeen > 0;
  return {
    ...own,
    status: toStatus(status),
    version,
    ...(showsLastSeen ? { lastSeenTime: toTimestamp(BigInt(lastSeen)) } : {}),
  };
}

function toText(text: Text | undefined) {
  if (text?.statusText == null) return {};
  const { statusText, expiresAt } = text;
  return { text: statusText, ...(expiresAt === null ? {} : { textExpireTime: toTimestamp(expiresAt) }) };
}

/** The caller's status override; ONLINE without a row. */
export function toStatusOverride(
  row: StatusOverrideRow | undefined,
): MessageInitShape<typeof StatusOverrideSchema> {
  if (row === undefined) return { status: PresenceStatus.ONLINE };
  return {
    status: toStatus(row.status),
    text: row.statusText,
    ...(row.expiresAt === null ? {} : { expireTime: toTimestamp(row.expiresAt) }),
  };
}
