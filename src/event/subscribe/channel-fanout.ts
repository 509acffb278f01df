import type { Frame } from '../../rpc/frame.ts';
import type { Stream } from './stream.ts';

/**
 * A channel as this process knows it: how far its log was delivered, and who listens. Streams in `live` have
 * been sent everything up to `seq`; those in `behind` read the log by themselves.
 */
export class ChannelFanout {
  readonly channelId: bigint;
  /** Every event up to this one went to the live streams. */
  seq: bigint;
  /** Highest `seq` heard of; above `seq` while events are missing here. */
  known: bigint;
  /** When the last event was delivered, epoch ms. */
  changedAt = 0;
  readonly live = new Set<Stream>();
  readonly behind = new Set<Stream>();
  /** Events that came before the ones they follow. */
  readonly early = new Map<bigint, Buffer>();
  filling: Promise<void> | undefined;

  constructor(channelId: bigint, seq: bigint) {
    this.channelId = channelId;
    this.seq = seq;
    this.known = seq;
  }

  /** How many streams have the channel. */
  get attached(): number {
    return this.live.size + this.behind.size;
  }

  *streams(): Generator<Stream> {
    yield* this.live;
    yield* this.behind;
  }

  /** Gives the next event to all live streams. */
  advance(frame: Frame, now: number): void {
    this.seq += 1n;
    if (this.known < this.seq) this.known = this.seq;
    this.changedAt = now;
    for (const stream of this.live) stream.deliver(this, frame);
  }
}
