import type { MessageInitShape } from '@bufbuild/protobuf';
import type { PollSchema } from '#gen/serp/discuss/v1/message_pb.ts';
import { type PatchableEvent, toPatchable } from '../event/log/wire.ts';

/** The event that votes changed, or the poll was closed. */
export function toPollChanged(
  channelId: bigint,
  messageId: bigint,
  actorId: bigint,
  poll: MessageInitShape<typeof PollSchema>,
): PatchableEvent {
  return toPatchable({
    channelId,
    actorId,
    change: { case: 'pollChanged', value: { messageId, poll } },
  });
}
