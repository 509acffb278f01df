import { type CallOptions, type Client, ConnectError } from '@connectrpc/connect';
import type { EventKind } from '#gen/serp/discuss/v1/event_pb.ts';
import type {
  EventService,
  StreamTenantEventsResponse,
  TenantEvent,
} from '#gen/serp/discuss/v1/event_service_pb.ts';
import { until } from './until.ts';

type Request = { readonly kinds?: EventKind[]; readonly fromOldest?: boolean };

/** A consumer of StreamTenantEvents that keeps what it receives, and continues from its last cursor. */
export class TenantStreamReader {
  readonly received: StreamTenantEventsResponse[] = [];
  cursor = '';
  /** Error that ended the last connection. */
  error: ConnectError | undefined;
  readonly #request: Request;
  #abort = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(request: Request = {}) {
    this.#request = request;
  }

  /** Connects with the cursor; resolves once the stream has started. */
  async connect(client: Client<typeof EventService>, options: CallOptions = {}): Promise<this> {
    const before = this.count('started');
    this.error = undefined;
    this.#abort = new AbortController();
    this.#running = this.#run(client, { ...options, signal: this.#abort.signal });
    await until(() => this.error !== undefined || this.count('started') > before, 'the start of the stream');
    if (this.error !== undefined) throw this.error;
    return this;
  }

  /** Breaks the connection. */
  async disconnect(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  get events(): TenantEvent[] {
    return this.received.flatMap(({ payload }) => (payload.case === 'event' ? [payload.value] : []));
  }

  /** The received events as `tenant:channel:seq`, in order. */
  get places(): string[] {
    return this.events.map(({ tenantId, event }) => `${tenantId}:${event?.channelId}:${event?.seq}`);
  }

  get texts(): string[] {
    return this.events.flatMap(({ event }) =>
      event?.change.case === 'messageCreated' ? [event.change.value.message?.content ?? ''] : [],
    );
  }

  count(kind: StreamTenantEventsResponse['payload']['case']): number {
    return this.received.filter(({ payload }) => payload.case === kind).length;
  }

  async #run(client: Client<typeof EventService>, options: CallOptions): Promise<void> {
    const { signal } = options;
    try {
      for await (const response of client.streamTenantEvents(
        { ...this.#request, cursor: this.cursor },
        options,
      )) {
        this.received.push(response);
        this.cursor = response.cursor;
      }
    } catch (error) {
      if (signal?.aborted !== true) this.error = ConnectError.from(error);
    }
  }
}
