import { type Client, ConnectError } from '@connectrpc/connect';
import type { Event } from '#gen/serp/discuss/v1/event_pb.ts';
import type { EventService, SubscribeResponse } from '#gen/serp/discuss/v1/event_service_pb.ts';
import type { PresenceStatus } from '#gen/serp/discuss/v1/presence_pb.ts';
import { ChannelCursors } from './channel-cursors.ts';
import { until } from './until.ts';

/** What a stream may request besides channels. */
type More = { presenceUserIds?: bigint[]; device?: { id: string; kind?: string } };
type Payload = SubscribeResponse['payload'];
type PayloadOf<C extends Payload['case']> = Extract<Payload, { case: C }>;

/** A client as the contract describes it: it keeps a cursor per channel and sends them when it connects again. */
export class Subscriber {
  readonly events: Event[] = [];
  readonly others: Payload[] = [];
  /** Error that ended the last connection. */
  error: ConnectError | undefined;
  readonly #cursors = new ChannelCursors();
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

  /** `seq` of the last event of each channel. */
  get cursors(): Map<bigint, bigint> {
    return this.#cursors.seqs;
  }

  /** Events that were missing, repeated or out of order. */
  get faults(): string[] {
    return this.#cursors.faults.map(({ text }) => text);
  }

  /** Connects with the cursors; resolves once the stream has started with all its channels. */
  async connect(client = this.#client): Promise<this> {
    const before = this.#starts;
    this.error = undefined;
    this.#abort = new AbortController();
    this.#running = this.#run(client, this.#abort.signal);
    await until(() => this.error !== undefined || this.#starts > before);
    if (this.error !== undefined) throw this.error;
    return this;
  }

  /** Breaks the connection. */
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

  /** Number of complete starts. */
  get #starts(): number {
    return this.others.filter((payload) => payload.case === 'started' && !payload.value.more).length;
  }

  /** Events other than posted notices. */
  get changes(): Event[] {
    return this.events.filter((event) => !isNotice(event));
  }

  /** Statuses of a user that the stream received, in order. */
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
    const cursors = this.#cursors.request;
    try {
      const stream = client.subscribe({ ...this.#more, channelIds: this.#channelIds, cursors }, { signal });
      for await (const { payload } of stream) this.#take(payload);
    } catch (error) {
      if (!signal.aborted) this.error = ConnectError.from(error);
    }
  }

  #take(payload: Payload): void {
    this.#cursors.take(payload);
    if (payload.case === 'event') this.events.push(payload.value);
    else this.others.push(payload);
  }
}

/** Whether an event posts a notice. */
export function isNotice({ change }: Event): boolean {
  return change.case === 'messageCreated' && change.value.message?.notice !== undefined;
}
