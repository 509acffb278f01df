import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ChannelStateSchema } from '#gen/serp/discuss/v1/event_service_pb.ts';

/** Where a channel stands for a caller. */
export type ChannelState = MessageInitShape<typeof ChannelStateSchema> & {
  readonly channelId: bigint;
  readonly headSeq: bigint;
};
