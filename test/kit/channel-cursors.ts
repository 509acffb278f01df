import type { Event } from '#gen/serp/discuss/v1/event_pb.ts';
import type { SubscribeResponse } from '#gen/serp/discuss/v1/event_service_pb.ts';

type Payload = SubscribeResponse['payload'];

/** A deviation from what the contract promises to a client of Subscribe. */
export type StreamFault = {
  readonly kind: 'gap' | 'duplicate' | 'out of order' | 'wrong start' | 'unrequested';
  readonly text: string;
};

/** The cursors that a client of Subscribe keeps, and what was missing, repeated or out of order in its channels. */
export class ChannelCursors {
  /** `seq` of the last event of each channel. */
  readonly seqs = new Map<bigint, bigint>();
  readonly faults: StreamFault[] = [];
  /** Number of RESETs. */
  resets = 0;
  readonly #missing = new Map<bigint, Set<bigint>>();

  /** As the request contains them. */
  get request(): { channelId: bigint; seq: bigint }[] {
    return [...this.seqs].map(([channelId, seq]) => ({ channelId, seq }));
  }

  /** Events up to a head that were not received. */
  countMissing(channelId: bigint, headSeq: bigint): number {
    const seq = this.seqs.get(channelId) ?? 0n;
    const afterLast = headSeq > seq ? Number(headSeq - seq) : 0;
    return (this.#missing.get(channelId)?.size ?? 0) + afterLast;
  }

  countFaults(kind: StreamFault['kind']): number {
    return this.faults.filter((fault) => fault.kind === kind).length;
  }

  forgetFaults(): void {
    this.faults.length = 0;
    this.resets = 0;
  }

  take(payload: Payload): void {
    switch (payload.case) {
      case 'started':
        for (const { channelId, startSeq } of payload.value.channels) this.#start(channelId, startSeq);
        break;
      case 'channelOpened':
        this.seqs.set(payload.value.channel?.channelId ?? 0n, payload.value.channel?.startSeq ?? 0n);
        break;
      case 'reset':
        this.resets += 1;
        this.seqs.set(payload.value.channelId, payload.value.headSeq);
        break;
      case 'channelClosed':
        this.seqs.delete(payload.value.channelId);
        break;
      case 'event':
        this.#takeEvent(payload.value);
        break;
      default:
    }
  }

  #start(channelId: bigint, startSeq: bigint): void {
    const seq = this.seqs.get(channelId) ?? startSeq;
    if (seq !== startSeq) this.#fault('wrong start', channelId, `cursor ${seq} continued after ${startSeq}`);
    this.seqs.set(channelId, startSeq);
  }

  #takeEvent({ channelId, seq }: Event): void {
    const last = this.seqs.get(channelId);
    if (last === undefined) {
      this.#fault('unrequested', channelId, `event ${seq} of a channel that is not open`);
    } else if (seq > last) {
      if (seq > last + 1n) this.#fault('gap', channelId, `event ${seq} after ${last}`);
      for (let skipped = last + 1n; skipped < seq; skipped += 1n) this.#missingIn(channelId).add(skipped);
      this.seqs.set(channelId, seq);
    } else if (this.#missingIn(channelId).delete(seq)) {
      this.#fault('out of order', channelId, `event ${seq} after ${last}`);
    } else {
      this.#fault('duplicate', channelId, `event ${seq} after ${last}`);
    }
  }

  #missingIn(channelId: bigint): Set<bigint> {
    const missing = this.#missing.get(channelId) ?? new Set();
    this.#missing.set(channelId, missing);
    return missing;
  }

  #fault(kind: StreamFault['kind'], channelId: bigint, text: string): void {
    this.faults.push({ kind, text: `${kind} in channel ${channelId}: ${text}` });
  }
}
