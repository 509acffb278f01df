import { durationMs } from '@bufbuild/protobuf/wkt';
import { type Client, ConnectError } from '@connectrpc/connect';
import type { EventService, SubscribeResponse } from '../gen/serp/discuss/v1/event_service_pb.ts';
import { OutdatedChannels, type ReadChannel } from './outdated-channels.ts';
import { delayMs, isTemporary, pause } from './retry.ts';
import type { Store } from './store.ts';

export type ConnectionState = 'connecting' | 'open' | 'waiting' | 'failed' | 'closed';

export type SubscriptionOptions = {
  readonly client: Client<typeof EventService>;
  readonly store: Store;
  readonly read: ReadChannel;
  /** Called with every message of the stream, after the store has applied it. */
  readonly onMessage?: (response: SubscribeResponse) => void;
  /** `failed` means that repeating will not help: the error states why. */
  readonly onState?: (state: ConnectionState, error?: ConnectError) => void;
  /** Identifies this tab or app, as in SubscribeRequest. */
  readonly device?: { readonly id: string; readonly kind?: string };
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
        (reason: unknown) => ConnectError.from(reason),
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
    const { client, store, device } = this.#options;
    const connection = new AbortController();
    const signal = AbortSignal.any([this.#closed.signal, connection.signal]);
    let watchdog = this.#watch(connection);
    try {
      const request = { cursors: store.cursors, ...(device !== undefined && { device }) };
      for await (const response of client.subscribe(request, { signal })) {
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

  #take(response: SubscribeResponse): void {
    const { store, onMessage } = this.#options;
    const { payload } = response;
    store.apply(payload);
    if (payload.case === 'started') {
      const { heartbeatInterval, more } = payload.value;
      if (heartbeatInterval !== undefined) this.#heartbeatMs = durationMs(heartbeatInterval);
      this.#attempt = 0;
      if (!more) this.#report('open');
    }
    this.#outdated.readAll();
    onMessage?.(response);
  }

  #report(state: ConnectionState, error?: ConnectError): void {
    this.#options.onState?.(state, error);
  }
}
