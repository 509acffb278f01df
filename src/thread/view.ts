import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ThreadStateSchema } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { StateRow } from './sql.ts';

/** The caller's state in a thread. */
export function toState(row: StateRow): MessageInitShape<typeof ThreadStateSchema> {
  return {
    following: row.isFollowing ?? false,
    lastReadMessageId: row.readReplyId ?? 0n,
    unreadCount: row.unreadCount,
  };
}
