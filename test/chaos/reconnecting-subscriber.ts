import { setTimeout as sleep } from 'node:timers/promises';
import { durationMs } from '@bufbuild/protobuf/wkt';
import { ConnectError } from '@connectrpc/connect';
import { EventService, type SubscribeResponse } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { ChannelCursors } from '../kit/channel-cursors.ts';
import { delayAfter, otherInstance, type TestUser } from './test-user.ts';

// The service announces its heartbeat interval; after three missed heartbeats a browser client reconnects.
const MISSED_HEARTBEATS = 3;
const START_MS = 3_000;
const CHECK_MS = 100;

/**
 * A subscriber that resumes at the other instance with its cursors when its stream breaks. Counts events that are
 * missing, duplicated or out of order.
 */
export class ReconnectingSubscriber {
  readonly user: TestUser;
  /** Ids of the messages received in each channel. */
  readonly posted = new Map<bigint, Set<bigint>>();
  /** Times the stream broke and was resumed. */
  reconnects = 0;
  /** The longest time from the acknowledgement of a message to its delivery. */
  slowestMs = 0;
  readonly #cursors = new ChannelCursors();
  #current: number;
  #connection: AbortController | undefined;
  #heartbeatMs = 0;
  #started = false;
  #receivedAt = 0;

  constructor(user: TestUser) {
    this.user = user;
    this.#current = user.home;
  }

  /** Whether a stream has named all its channels. */
  get started(): boolean {
    return this.#started;
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

  /** Whether all events up to the heads were received. */
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

  returnHome(): void {
    if (this.#current === this.user.home) return;
    this.#current = this.user.home;
    this.#connection?.abort();
  }

  /** Subscribes, and resumes after each failure, until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    for (let attempt = 1; !signal.aborted; attempt += 1) {
      const at = this.#current;
      const error = await this.#subscribe(at, signal);
      if (signal.aborted) return;
      // `returnHome` closed the stream: not a failure.
      if (this.#current !== at) continue;
      this.reconnects += 1;
      this.#current = otherInstance(at);
      if (this.#heartbeatMs > 0) attempt = 1;
      await sleep(delayAfter(error, attempt));
    }
  }

  async #subscribe(at: number, signal: AbortSignal): Promise<ConnectError | undefined> {
    const connection = new AbortController();
    this.#connection = connection;
    const stop = () => connection.abort();
    signal.addEventListener('abort', stop, { once: true });
    const watch = setInterval(() => {
      if (this.#isSilent()) stop();
    }, CHECK_MS);
    this.#heartbeatMs = 0;
    this.#receivedAt = performance.now();
    try {
      const cursors = this.#cursors.request;
      const client = this.user.client(EventService, at);
      for await (const response of client.subscribe({ cursors }, { signal: connection.signal })) {
        this.#receivedAt = performance.now();
        this.#handle(response);
      }
      if (!connection.signal.aborted) this.user.ledger.addViolation('a stream ended without an error');
      return undefined;
    } catch (thrown) {
      if (connection.signal.aborted) return undefined;
      const error = ConnectError.from(thrown);
      this.user.ledger.recordError(error, `Subscribe over ${this.user.edge}`);
      return error;
    } finally {
      clearInterval(watch);
      connection.abort();
      signal.removeEventListener('abort', stop);
    }
  }

  // gRPC has keepalive and needs no check of heartbeats once the stream has started.
  #isSilent(): boolean {
    const silentMs = performance.now() - this.#receivedAt;
    if (this.#heartbeatMs === 0) return silentMs > START_MS;
    return this.user.edge === 'web' && silentMs > MISSED_HEARTBEATS * this.#heartbeatMs;
  }

  #handle({ payload }: SubscribeResponse): void {
    const { ledger, userId } = this.user;
    const known = this.#cursors.faults.length;
    this.#cursors.take(payload);
    for (const { kind, text } of this.#cursors.faults.slice(known))
      if (kind === 'wrong start' || kind === 'unrequested') ledger.addViolation(text);
    if (payload.case === 'started') {
      this.#started ||= !payload.value.more;
      const { heartbeatInterval } = payload.value;
      this.#heartbeatMs = heartbeatInterval === undefined ? 0 : durationMs(heartbeatInterval);
      for (const { channelId } of payload.value.channels)
        if (!this.posted.has(channelId)) this.posted.set(channelId, new Set());
    }
    if (payload.case === 'channelClosed')
      ledger.addViolation(`the stream of ${userId} lost channel ${payload.value.channelId}`);
    if (payload.case === 'event' && payload.value.change.case === 'messageCreated')
      this.#handlePosted(payload.value.channelId, payload.value.change.value.message?.id ?? 0n);
  }

  #handlePosted(channelId: bigint, messageId: bigint): void {
    this.posted.get(channelId)?.add(messageId);
    const acknowledgedAt = this.user.ledger.acknowledged.get(messageId);
    if (acknowledgedAt !== undefined)
      this.slowestMs = Math.max(this.slowestMs, performance.now() - acknowledgedAt);
  }
}
