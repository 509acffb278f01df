import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ChannelStateSchema } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { toMembership } from '../../member/view.ts';
import type { ChannelStateRow } from '../log/sql.ts';

/** Where a channel stands for a caller. */
export type ChannelState = MessageInitShape<typeof ChannelStateSchema> & {
  readonly channelId: bigint;
  readonly headSeq: bigint;
};

export function toChannelState(row: ChannelStateRow): ChannelState {
  return { channelId: row.channelId, headSeq: row.headSeq, membership: toMembership(row.channelId, row) };
}
