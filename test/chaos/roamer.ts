import { setTimeout as sleep } from 'node:timers/promises';
import { ConnectError } from '@connectrpc/connect';
import { EventService, type SubscribeResponse } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { ChannelCursors } from '../kit/channel-cursors.ts';
import { other, type Person, pauseAfter } from './person.ts';

// The service says how often heartbeats come; after three that did not, a browser takes the connection for dead.
const MISSED_HEARTBEATS = 3;
const START_MS = 3_000;
const LOOK_MS = 100;

/**
 * A subscriber that goes to the other instance when its own is gone, with its cursors, and keeps account of what
 * came: of events that never came, came twice, or came after later ones.
 */
export class ReconnectingSubscriber {
  readonly person: Person;
  /** Ids of the messages received in each channel. */
  readonly posted = new Map<bigint, Set<bigint>>();
  /** Times the stream broke and was opened again. */
  reconnects = 0;
  /** The longest time from a message's acknowledgement to its arrival. */
  slowestMs = 0;
  readonly #cursors = new ChannelCursors();
  #at: number;
  #connection: AbortController | undefined;
  #heartbeatMs = 0;
  #heardAt = 0;

  constructor(person: Person) {
    this.person = person;
    this.#at = person.home;
  }

  get started(): boolean {
    return this.#cursors.seqs.size > 0;
  }

  get duplicated(): number {
    return this.#cursors.countFaults('duplicate');
  }

  get outOfOrder(): number {
    return this.#cursors.countFaults('out of order');
  }

  get resets(): number {
    return this.#cursors.resets;
  }

  has(channelId: bigint, messageId: bigint): boolean {
    return this.posted.get(channelId)?.has(messageId) ?? false;
  }

  /** Whether everything up to the heads was received. */
  isAt(heads: ReadonlyMap<bigint, bigint>): boolean {
    return this.countMissing(heads) === 0;
  }

  /** Events up to the heads that were not received. */
  countMissing(heads: ReadonlyMap<bigint, bigint>): number {
    let count = 0;
    for (const channelId of this.#cursors.seqs.keys())
      count += this.#cursors.countMissing(channelId, heads.get(channelId) ?? 0n);
    return count;
  }

  reset(): void {
    this.#cursors.forgetFaults();
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
      const cursors = this.#cursors.request;
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
    const { ledger, userId } = this.person;
    const known = this.#cursors.faults.length;
    this.#cursors.take(payload);
    for (const { kind, text } of this.#cursors.faults.slice(known))
      if (kind === 'wrong start' || kind === 'unrequested') ledger.break(text);
    if (payload.case === 'started') {
      this.#heartbeatMs = payload.value.heartbeatIntervalMs;
      for (const { channelId } of payload.value.channels)
        if (!this.posted.has(channelId)) this.posted.set(channelId, new Set());
    }
    if (payload.case === 'channelClosed')
      ledger.break(`the stream of ${userId} lost channel ${payload.value.channelId}`);
    if (payload.case === 'event' && payload.value.change.case === 'messageCreated')
      this.#takePosted(payload.value.channelId, payload.value.change.value.message?.id ?? 0n);
  }

  #takePosted(channelId: bigint, messageId: bigint): void {
    this.posted.get(channelId)?.add(messageId);
    const acknowledgedAt = this.person.ledger.acknowledged.get(messageId);
    if (acknowledgedAt !== undefined)
      this.slowestMs = Math.max(this.slowestMs, performance.now() - acknowledgedAt);
  }
}
