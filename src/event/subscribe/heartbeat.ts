import { toTimestamp } from '../../db/time.ts';
import type { Frame } from '../../rpc/frame.ts';
import { toFrame } from '../log/wire.ts';
import type { Stream } from './stream.ts';

/** Shows that the stream lives, and how far it was sent each channel that changed since its last heartbeat. */
export function heartbeatFrame(stream: Stream, now: number): Frame {
  const heads = [];
  for (const topic of stream.topics.values()) {
    if (topic.changedAt >= stream.heartbeatBefore && topic.live.has(stream)) {
      heads.push({ channelId: topic.channelId, seq: topic.seq });
    }
  }
  return toFrame({ case: 'heartbeat', value: { sendTime: toTimestamp(BigInt(now)), heads } });
}
