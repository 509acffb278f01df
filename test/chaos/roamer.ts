import { setTimeout as sleep } from 'node:timers/promises';
import { ConnectError } from '@connectrpc/connect';
import type { Event } from '#gen/serp/discuss/v1/event_pb.ts';
import { EventService, type SubscribeResponse } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { other, type Person, pauseAfter } from './person.ts';

// The service says how often heartbeats come; after three that did not, a browser takes the connection for dead.
const MISSED_HEARTBEATS = 3;
const START_MS = 3_000;
const LOOK_MS = 100;

/** How much of a channel's log has come. */
type Place = { seq: bigint; readonly missing: Set<bigint>; readonly posted: Set<bigint> };

/**
 * A subscriber that goes to the other instance when its own is gone, with its cursors, and keeps account of what
 * came: of events that never came, came twice, or came after later ones.
 */
export class ReconnectingSubscriber {
  readonly person: Person;
  readonly places = new Map<bigint, Place>();
  duplicated = 0;
  outOfOrder = 0;
  resets = 0;
  /** Times the stream broke and was opened again. */
  reconnects = 0;
  /** The longest time from a message's acknowledgement to its arrival. */
  slowestMs = 0;
  #at: number;
  #connection: AbortController | undefined;
  #heartbeatMs = 0;
  #heardAt = 0;

  constructor(person: Person) {
    this.person = person;
    this.#at = person.home;
  }

  get started(): boolean {
    return this.places.size > 0;
  }

  has(channelId: bigint, messageId: bigint): boolean {
    return this.places.get(channelId)?.posted.has(messageId) ?? false;
  }

  /** Whether everything up to the heads has come. */
  isAt(heads: ReadonlyMap<bigint, bigint>): boolean {
    return [...this.places].every(
      ([id, { seq, missing }]) => missing.size === 0 && seq >= (heads.get(id) ?? 0n),
    );
  }

  /** Events up to the heads that have not come. */
  countMissing(heads: ReadonlyMap<bigint, bigint>): number {
    let count = 0;
    for (const [id, { seq, missing }] of this.places) {
      const head = heads.get(id) ?? 0n;
      count += missing.size + (head > seq ? Number(head - seq) : 0);
    }
    return count;
  }

  reset(): void {
    this.duplicated = 0;
    this.outOfOrder = 0;
    this.resets = 0;
    this.reconnects = 0;
    this.slowestMs = 0;
  }

  goHome(): void {
    if (this.#at === this.person.home) return;
    this.#at = this.person.home;
    this.#connection?.abort();
  }

  /** Listens until the signal, whatever happens. */
  async run(signal: AbortSignal): Promise<void> {
    for (let attempt = 1; !signal.aborted; attempt += 1) {
      const at = this.#at;
      const error = await this.#listen(at, signal);
      if (signal.aborted) return;
      // Sent home: not a failure.
      if (this.#at !== at) continue;
      this.reconnects += 1;
      this.#at = other(at);
      if (this.#heartbeatMs > 0) attempt = 1;
      await sleep(pauseAfter(error, attempt));
    }
  }

  async #listen(at: number, signal: AbortSignal): Promise<ConnectError | undefined> {
    const connection = new AbortController();
    this.#connection = connection;
    const stop = () => connection.abort();
    signal.addEventListener('abort', stop, { once: true });
    const watch = setInterval(() => {
      if (this.#isSilent()) stop();
    }, LOOK_MS);
    this.#heartbeatMs = 0;
    this.#heardAt = performance.now();
    try {
      const cursors = [...this.places].map(([channelId, { seq }]) => ({ channelId, seq }));
      const client = this.person.client(EventService, at);
      for await (const response of client.subscribe({ cursors }, { signal: connection.signal })) {
        this.#heardAt = performance.now();
        this.#take(response);
      }
      if (!connection.signal.aborted) this.person.ledger.break('a stream ended without saying why');
      return undefined;
    } catch (thrown) {
      if (connection.signal.aborted) return undefined;
      const error = ConnectError.from(thrown);
      this.person.ledger.note(error, `Subscribe over ${this.person.edge}`);
      return error;
    } finally {
      clearInterval(watch);
      connection.abort();
      signal.removeEventListener('abort', stop);
    }
  }

  // gRPC has keepalive, and needs no look at heartbeats once the stream has started.
  #isSilent(): boolean {
    const silentMs = performance.now() - this.#heardAt;
    if (this.#heartbeatMs === 0) return silentMs > START_MS;
    return this.person.edge === 'web' && silentMs > MISSED_HEARTBEATS * this.#heartbeatMs;
  }

  #take({ payload }: SubscribeResponse): void {
    switch (payload.case) {
      case 'started':
        this.#heartbeatMs = payload.value.heartbeatIntervalMs;
        for (const { channelId, startSeq } of payload.value.channels) this.#start(channelId, startSeq);
        break;
      case 'event':
        this.#takeEvent(payload.value);
        break;
      case 'reset':
        this.resets += 1;
        break;
      case 'channelClosed':
        this.person.ledger.break(
          `the stream of ${this.person.userId} lost channel ${payload.value.channelId}`,
        );
        break;
      default:
    }
  }

  #start(channelId: bigint, startSeq: bigint): void {
    const place = this.places.get(channelId);
    if (place === undefined)
      this.places.set(channelId, { seq: startSeq, missing: new Set(), posted: new Set() });
    else if (place.seq !== startSeq)
      this.person.ledger.break(`a stream with cursor ${place.seq} went on from ${startSeq}`);
  }

  #takeEvent({ channelId, seq, change }: Event): void {
    const place = this.places.get(channelId);
    if (place === undefined) {
      this.person.ledger.break(`an event of channel ${channelId} came unasked`);
      return;
    }
    if (seq > place.seq) {
      for (let skipped = place.seq + 1n; skipped < seq; skipped += 1n) place.missing.add(skipped);
      place.seq = seq;
    } else if (place.missing.delete(seq)) {
      this.outOfOrder += 1;
    } else {
      this.duplicated += 1;
    }
    if (change.case === 'messageCreated') this.#takePosted(place, change.value.message?.id ?? 0n);
  }

  #takePosted({ posted }: Place, messageId: bigint): void {
    posted.add(messageId);
    const acknowledgedAt = this.person.ledger.acknowledged.get(messageId);
    if (acknowledgedAt !== undefined)
      this.slowestMs = Math.max(this.slowestMs, performance.now() - acknowledgedAt);
  }
}
