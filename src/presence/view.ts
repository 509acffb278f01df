import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  PresenceStatus,
  type StatusOverrideSchema,
  type UserPresenceSchema,
} from '#gen/serp/discuss/v1/presence_pb.ts';
import { toTimestamp } from '../db/time.ts';
import type { ChosenRow } from './sql.ts';
import { type Shown, toStatus } from './state.ts';

/** A user's presence; `unknown` while Redis cannot tell. */
export type PresenceView = Shown | 'unknown';

type Text = { readonly statusText: string | null; readonly expiresAt: bigint | null };

/** A user as others see them; `statusOverride` for the user alone. */
export function toUserPresence(
  userId: bigint,
  seen: PresenceView,
  text: Text | undefined,
  statusOverride?: MessageInitShape<typeof StatusOverrideSchema>,
): MessageInitShape<typeof UserPresenceSchema> {
  const own = { userId, ...toText(text), ...(statusOverride === undefined ? {} : { statusOverride }) };
  if (seen === 'unknown') return { ...own, status: PresenceStatus.UNKNOWN };
  const { status, version } = seen;
  const isTold = status === 'OFFLINE' && seen.seen > 0;
  return {
    ...own,
    status: toStatus(status),
    version,
    ...(isTold ? { lastSeenTime: toTimestamp(BigInt(seen.seen)) } : {}),
  };
}

function toText(text: Text | undefined) {
  if (text?.statusText == null) return {};
  const { statusText, expiresAt } = text;
  return { text: statusText, ...(expiresAt === null ? {} : { textExpireTime: toTimestamp(expiresAt) }) };
}

/** What the caller chose; without a row, nothing. */
export function toUserStatus(row: ChosenRow | undefined): MessageInitShape<typeof StatusOverrideSchema> {
  if (row === undefined) return { status: PresenceStatus.ONLINE };
  return {
    status: toStatus(row.status),
    text: row.statusText,
    ...(row.expiresAt === null ? {} : { expireTime: toTimestamp(row.expiresAt) }),
  };
}
