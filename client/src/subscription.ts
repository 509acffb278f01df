import type { SubscribeResponseJson } from '../gen/serp/discuss/v1/event_service_pb.d.ts';
import type { DeviceJson } from '../gen/serp/discuss/v1/presence_pb.d.ts';
import { ApiError } from './api-error.ts';
import { OutdatedChannels, type ReadChannel } from './outdated-channels.ts';
import { delayMs, isTemporary, pause } from './retry.ts';
import type { Store } from './store.ts';
import { durationMs } from './times.ts';
import type { Transport } from './transport.ts';

export type ConnectionState = 'connecting' | 'open' | 'waiting' | 'failed' | 'closed';

export type SubscriptionOptions = {
  readonly transport: Transport;
  readonly store: Store;
  readonly read: ReadChannel;
  /** Called with every message of the stream, after the store has applied it. */
  readonly onMessage?: (response: SubscribeResponseJson) => void;
  /** `failed` means that repeating will not help: the error states why. */
  readonly onState?: (state: ConnectionState, error?: ApiError) => void;
  /** Identifies this tab or app, as in SubscribeRequest. */
  readonly device?: DeviceJson;
  /** Interval of heartbeats until the server has announced its own. */
  readonly heartbeatMs?: number;
};

export const HEARTBEAT_MS = 20_000;
/** A stream without a message for this many intervals is dead. */
export const MISSED_HEARTBEATS = 3;

/** A stream of all channels of a user that is resumed after every interruption. */
export class Subscription {
  readonly #options: SubscriptionOptions;
  readonly #closed = new AbortController();
  readonly #ended: Promise<void>;
  readonly #outdated: OutdatedChannels;
  #heartbeatMs: number;
  #attempt = 0;
  #waiting = new AbortController();

  constructor(options: SubscriptionOptions) {
    this.#options = options;
    this.#heartbeatMs = options.heartbeatMs ?? HEARTBEAT_MS;
    this.#outdated = new OutdatedChannels(options.store, options.read, this.#closed.signal);
    this.#ended = this.#run();
  }

  /** Ends the delay before the next attempt, for example because the network is available again. */
  wake(): void {
    this.#waiting.abort();
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#ended;
    await this.#outdated.settled();
  }

  async #run(): Promise<void> {
    const { signal } = this.#closed;
    while (!signal.aborted) {
      this.#report('connecting');
      const error = await this.#connect().then(
        () => undefined,
        (reason: unknown) => ApiError.from(reason),
      );
      if (signal.aborted) break;
      if (error !== undefined && !isTemporary(error)) {
        this.#report('failed', error);
        return;
      }
      this.#report('waiting', error);
      this.#waiting = new AbortController();
      await pause(delayMs(error, this.#attempt), AbortSignal.any([signal, this.#waiting.signal]));
      this.#attempt += 1;
    }
    this.#report('closed');
  }

  async #connect(): Promise<void> {
    const { transport, store, device } = this.#options;
    const connection = new AbortController();
    const signal = AbortSignal.any([this.#closed.signal, connection.signal]);
    let watchdog = this.#watch(connection);
    try {
      const request = { cursors: store.cursors, ...(device !== undefined && { device }) };
      for await (const response of transport.stream('EventService/Subscribe', request, { signal })) {
        this.#take(response);
        // Afterwards, because the first message announces the interval.
        clearTimeout(watchdog);
        watchdog = this.#watch(connection);
      }
    } catch (error) {
      // A silent connection is interrupted by this side.
      if (!connection.signal.aborted) throw error;
    } finally {
      clearTimeout(watchdog);
      connection.abort();
    }
  }

  /** Nothing else reveals that the network dropped a connection without a notice. */
  #watch(connection: AbortController): ReturnType<typeof setTimeout> {
    return setTimeout(() => connection.abort(), this.#heartbeatMs * MISSED_HEARTBEATS);
  }

  #take(response: SubscribeResponseJson): void {
    const { store, onMessage } = this.#options;
    const { started } = response;
    store.apply(response);
    if (started !== undefined) {
      const { heartbeatInterval, more = false } = started;
      if (heartbeatInterval !== undefined) this.#heartbeatMs = durationMs(heartbeatInterval);
      this.#attempt = 0;
      if (!more) this.#report('open');
    }
    this.#outdated.readAll();
    onMessage?.(response);
  }

  #report(state: ConnectionState, error?: ApiError): void {
    this.#options.onState?.(state, error);
  }
}
