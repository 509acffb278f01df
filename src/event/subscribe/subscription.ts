import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ChannelStateSchema } from '#gen/serp/discuss/v1/event_service_pb.ts';

/** A channel as its member sees it, and the head of its log at that moment. */
export type ChannelState = MessageInitShape<typeof ChannelStateSchema> & {
  readonly channelId: bigint;
  readonly headSeq: bigint;
};

/** What a stream subscribes to, and how to read the states of its channels with the rights of its caller. */
export type Subscription = {
  /** Channels requested; undefined for all channels of the caller. */
  readonly only: ReadonlySet<bigint> | undefined;
  /** Users whose presence was requested. */
  readonly watched: ReadonlySet<bigint>;
  readonly deviceId: string;
  /** States of the caller's channels, all or those given, after a channel in ascending order of their ids. */
  readonly listStates: (
    channelIds: readonly bigint[] | undefined,
    after: bigint,
    limit: number,
  ) => Promise<readonly ChannelState[]>;
};
