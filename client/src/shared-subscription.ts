import type {
  ChannelStateJson,
  StreamStartedJson,
  SubscribeResponseJson,
} from '../gen/serp/discuss/v1/event_service_pb.d.ts';
import { ApiError, type Code } from './api-error.ts';
import { OutdatedChannels } from './outdated-channels.ts';
import {
  type ConnectionState,
  HEARTBEAT_MS,
  MISSED_HEARTBEATS,
  Subscription,
  type SubscriptionOptions,
} from './subscription.ts';
import { durationMs } from './times.ts';

export type SharedSubscriptionOptions = SubscriptionOptions & {
  /** Tabs with the same name share a stream: use one per server and user. */
  readonly name: string;
};

type Report = { readonly state: ConnectionState; readonly error?: { code: Code; message: string } };

/** What tabs send each other. */
type Signal =
  | { readonly kind: 'hello'; readonly from: string }
  | {
      readonly kind: 'start';
      readonly to: string;
      readonly started: StreamStartedJson | undefined;
      readonly report: Report;
    }
  | { readonly kind: 'message'; readonly response: SubscribeResponseJson }
  | { readonly kind: 'report'; readonly report: Report }
  | { readonly kind: 'wake' };

/**
 * A Subscription that all tabs of a browser share. The tab that holds a lock has the stream and passes its messages on;
 * when it closes or is silent, another tab takes over and resumes the stream. Each tab has a store of its own.
 */
export class SharedSubscription {
  readonly #options: SharedSubscriptionOptions;
  readonly #id = crypto.randomUUID();
  readonly #closed = new AbortController();
  readonly #tabs: BroadcastChannel;
  readonly #outdated: OutdatedChannels;
  readonly #ended: Promise<void>;
  /** Set while this tab has the stream. */
  #subscription: Subscription | undefined;
  #report: Report = { state: 'connecting' };
  #started: StreamStartedJson | undefined;
  #heartbeatMs: number;
  #watchdog: ReturnType<typeof setTimeout> | undefined;
  #onSilence: () => void = () => {};

  constructor(options: SharedSubscriptionOptions) {
    this.#options = options;
    this.#heartbeatMs = options.heartbeatMs ?? HEARTBEAT_MS;
    this.#outdated = new OutdatedChannels(options.store, options.read, this.#closed.signal);
    this.#tabs = new BroadcastChannel(options.name);
    this.#tabs.onmessage = ({ data }) => this.#receive(data);
    this.#post({ kind: 'hello', from: this.#id });
    this.#ended = this.#run();
  }

  /** True if this tab has the stream. */
  get isLeader(): boolean {
    return this.#subscription !== undefined;
  }

  /** Ends the delay before the next attempt, for example because the network is available again. */
  wake(): void {
    if (this.#subscription === undefined) this.#post({ kind: 'wake' });
    else this.#subscription.wake();
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#ended;
    await this.#outdated.settled();
    this.#tabs.close();
  }

  /** Waits for the lock, or takes it from a tab that is silent, until this tab is closed. */
  async #run(): Promise<void> {
    const { signal: closed } = this.#closed;
    for (let steal = false; !closed.aborted; ) {
      const silence = new AbortController();
      this.#watch(() => silence.abort());
      const signal = AbortSignal.any([closed, silence.signal]);
      const lost = new AbortController();
      // The platform does not allow both options together.
      const options = steal ? { steal } : { signal };
      await navigator.locks
        .request(this.#options.name, options, () => this.#lead(AbortSignal.any([closed, lost.signal])))
        .catch(() => lost.abort());
      clearTimeout(this.#watchdog);
      steal = silence.signal.aborted;
    }
  }

  async #lead(ended: AbortSignal): Promise<void> {
    clearTimeout(this.#watchdog);
    const pass = this.#passOn();
    const subscription = new Subscription({
      ...this.#options,
      heartbeatMs: this.#heartbeatMs,
      onMessage: (response) => {
        pass(response);
        this.#options.onMessage?.(response);
      },
      onState: (state, error) => {
        const report = { state, ...(error && { error: { code: error.code, message: error.message } }) };
        // The stream of another tab follows.
        if (state === 'closed' && !this.#closed.signal.aborted) return;
        if (state !== 'closed') this.#post({ kind: 'report', report });
        this.#show(report);
      },
    });
    this.#subscription = subscription;
    await new Promise<void>((resolve) => {
      if (ended.aborted) resolve();
      ended.addEventListener('abort', () => resolve());
    });
    this.#subscription = undefined;
    await subscription.close();
  }

  /** Sends messages to the other tabs; several `started` as one, because a tab may listen from the second one on. */
  #passOn(): (response: SubscribeResponseJson) => void {
    let channels: ChannelStateJson[] = [];
    return (response) => {
      const { started: part } = response;
      if (part === undefined) return this.#post({ kind: 'message', response });
      channels.push(...(part.channels ?? []));
      if (part.more) return;
      const started = { ...part, channels };
      channels = [];
      this.#observe(started);
      this.#post({ kind: 'message', response: { started } });
    };
  }

  #receive(signal: Signal): void {
    if (this.#subscription !== undefined) {
      if (signal.kind === 'hello') this.#welcome(signal.from);
      if (signal.kind === 'wake') this.#subscription.wake();
      return;
    }
    if (signal.kind === 'hello' || signal.kind === 'wake') return;
    if (signal.kind === 'start') this.#start(signal);
    else if (signal.kind === 'report') this.#show(signal.report);
    else this.#take(signal.response);
    this.#extendWatch();
  }

  /** Describes the position of the stream to a new tab, as `started` describes it to a new stream. */
  #welcome(to: string): void {
    const channels: ChannelStateJson[] = [];
    for (const { id, seq, membership } of this.#options.store.channels.values()) {
      if (seq === undefined || membership === undefined) continue;
      channels.push({ channelId: id, startSeq: seq, headSeq: seq, membership });
    }
    this.#post({
      kind: 'start',
      to,
      started: this.#started && { ...this.#started, channels },
      report: this.#report,
    });
  }

  #start({ to, started, report }: Extract<Signal, { kind: 'start' }>): void {
    if (to !== this.#id) return;
    if (started !== undefined) this.#take({ started });
    this.#show(report);
  }

  #take(response: SubscribeResponseJson): void {
    if (response.started !== undefined) this.#observe(response.started);
    this.#options.store.apply(response);
    this.#outdated.readAll();
    this.#options.onMessage?.(response);
  }

  #observe(started: StreamStartedJson): void {
    this.#started = started;
    if (started.heartbeatInterval !== undefined) this.#heartbeatMs = durationMs(started.heartbeatInterval);
  }

  #show(report: Report): void {
    this.#report = report;
    const { state, error } = report;
    this.#options.onState?.(state, error && new ApiError(error.message, error.code));
  }

  #post(signal: Signal): void {
    this.#tabs.postMessage(signal);
  }

  #watch(onSilence: () => void): void {
    this.#onSilence = onSilence;
    this.#extendWatch();
  }

  /** A tab that is frozen keeps its lock: it is asked once, and replaced if it does not respond. */
  #extendWatch(): void {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      this.#post({ kind: 'hello', from: this.#id });
      this.#watchdog = setTimeout(this.#onSilence, this.#heartbeatMs * (1 + Math.random()));
    }, this.#heartbeatMs * MISSED_HEARTBEATS);
  }
}
