import { type Client, ConnectError } from '@connectrpc/connect';
import type { Event } from '#gen/serp/discuss/v1/event_pb.ts';
import type { EventService, SubscribeResponse } from '#gen/serp/discuss/v1/event_service_pb.ts';
import type { PresenceStatus } from '#gen/serp/discuss/v1/presence_pb.ts';
import { until } from './until.ts';

/** What a stream may ask for besides channels. */
type More = { presenceUserIds?: bigint[]; device?: { id: string; kind?: string } };
type Payload = SubscribeResponse['payload'];
type PayloadOf<C extends Payload['case']> = Extract<Payload, { case: C }>;

/**
 * A client that does what the contract asks of one: keeps a cursor per channel, and gives it when it connects
 * again. Notes every gap, duplicate and disorder it sees.
 */
export class Subscriber {
  readonly events: Event[] = [];
  readonly others: Payload[] = [];
  readonly faults: string[] = [];
  readonly cursors = new Map<bigint, bigint>();
  /** Why the last connection ended, if it did. */
  error: ConnectError | undefined;
  readonly #client: Client<typeof EventService>;
  readonly #channelIds: bigint[];
  readonly #more: More;
  #abort: AbortController | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(client: Client<typeof EventService>, channelIds: bigint[] = [], more: More = {}) {
    this.#client = client;
    this.#channelIds = channelIds;
    this.#more = more;
  }

  /** Connects, from the cursors; resolves once the stream has started. */
  async connect(client = this.#client): Promise<this> {
    const before = this.count('started');
    this.error = undefined;
    this.#abort = new AbortController();
    this.#running = this.#run(client, this.#abort.signal);
    await until(() => this.error !== undefined || this.count('started') > before);
    if (this.error !== undefined) throw this.error;
    return this;
  }

  /** Cuts the connection. */
  async disconnect(): Promise<void> {
    this.#abort?.abort();
    await this.#running;
  }

  count(kind: Payload['case']): number {
    return this.others.filter((payload) => payload.case === kind).length;
  }

  last<C extends Payload['case']>(kind: C): PayloadOf<C> | undefined {
    return this.others.findLast((payload): payload is PayloadOf<C> => payload.case === kind);
  }

  /** The events without those that post notices. */
  get changes(): Event[] {
    return this.events.filter((event) => !isNotice(event));
  }

  /** What the stream was told of a user's presence, one after the other. */
  statuses(userId: bigint): PresenceStatus[] {
    return this.others.flatMap((payload) =>
      payload.case === 'presence'
        ? payload.value.users.filter((user) => user.userId === userId).map(({ status }) => status)
        : [],
    );
  }

  messages(channelId: bigint): string[] {
    return this.changes.flatMap((event) =>
      event.channelId === channelId && event.change.case === 'messageCreated'
        ? [event.change.value.message?.content ?? '']
        : [],
    );
  }

  async #run(client: Client<typeof EventService>, signal: AbortSignal): Promise<void> {
    const cursors = [...this.cursors].map(([channelId, seq]) => ({ channelId, seq }));
    try {
      const stream = client.subscribe({ ...this.#more, channelIds: this.#channelIds, cursors }, { signal });
      for await (const { payload } of stream) this.#take(payload);
    } catch (error) {
      if (!signal.aborted) this.error = ConnectError.from(error);
    }
  }

  #take(payload: Payload): void {
    if (payload.case === 'event') this.#takeEvent(payload.value);
    else this.others.push(payload);
    if (payload.case === 'started') {
      for (const { channelId, startSeq } of payload.value.channels) this.cursors.set(channelId, startSeq);
    } else if (payload.case === 'channelOpened' && payload.value.channel !== undefined) {
      this.cursors.set(payload.value.channel.channelId, payload.value.channel.startSeq);
    } else if (payload.case === 'reset') {
      this.cursors.set(payload.value.channelId, payload.value.headSeq);
    } else if (payload.case === 'channelClosed') {
      this.cursors.delete(payload.value.channelId);
    }
  }

  #takeEvent(event: Event): void {
    const expected = (this.cursors.get(event.channelId) ?? 0n) + 1n;
    if (event.seq !== expected)
      this.faults.push(`channel ${event.channelId}: ${event.seq} instead of ${expected}`);
    this.cursors.set(event.channelId, event.seq);
    this.events.push(event);
  }
}

/** Whether an event posts a notice. */
export function isNotice({ change }: Event): boolean {
  return change.case === 'messageCreated' && change.value.message?.notice !== undefined;
}
