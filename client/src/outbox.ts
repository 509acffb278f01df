import type { MessageJson } from '../gen/serp/discuss/v1/message_pb.d.ts';
import type { SendMessageRequestJson } from '../gen/serp/discuss/v1/message_service_pb.d.ts';
import { ApiError } from './api-error.ts';
import { delayMs, isTemporary, pause } from './retry.ts';
import type { Transport } from './transport.ts';

/** What to send: the request of SendMessage without its id. */
export type Draft = Omit<SendMessageRequestJson, 'requestId'> & { readonly channelId: string };

export type Entry = {
  readonly requestId: string;
  readonly draft: Draft;
  /** Entries of a channel are sent in this order. */
  readonly order: number;
  /** Why the server will not accept the message: `retry` or `discard` it. Unset while it waits or is being sent. */
  readonly failure?: string;
};

/**
 * Keeps entries, and processes calls in their order. `indexedDbStorage` survives a reload, `memoryStorage` does not.
 */
export type OutboxStorage = {
  all(): Promise<Entry[]>;
  put(entry: Entry): Promise<void>;
  delete(requestId: string): Promise<void>;
  /** Runs `work` while no other outbox with the same entries does, such as that of another tab. */
  exclusive?<T>(work: () => Promise<T>): Promise<T>;
};

export type OutboxOptions = {
  readonly transport: Transport;
  readonly storage: OutboxStorage;
  /** Called with every message that was posted. */
  readonly onSent?: (message: MessageJson, requestId: string) => void;
  /** Called after each change of `entries`. */
  readonly onChange?: () => void;
};

/**
 * Messages on their way to the server. Each is sent until the server has accepted or rejected it, those of a channel in
 * order. A message is posted once, however often it is sent, because its request id remains the same.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #sending = new Map<string, Promise<void>>();
  readonly #closed = new AbortController();
  #lastOrder = 0;

  private constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** Opens the outbox, and continues with the entries of the storage. */
  static async open(options: OutboxOptions): Promise<Outbox> {
    const outbox = new Outbox(options);
    for (const entry of await options.storage.all()) outbox.#add(entry);
    for (const { draft } of outbox.entries) outbox.#start(draft.channelId);
    return outbox;
  }

  /** Entries that were not posted yet, in the order in which they were sent. */
  get entries(): Entry[] {
    return [...this.#entries.values()].sort((a, b) => a.order - b.order);
  }

  /** Stores a message and begins to send it. Returns its request id, by which `message_created` recognizes it. */
  async send(draft: Draft): Promise<string> {
    const entry = { requestId: crypto.randomUUID(), draft, order: Math.max(Date.now(), this.#lastOrder + 1) };
    // In this order, so that messages of one turn keep theirs.
    this.#add(entry);
    await this.#options.storage.put(entry);
    this.#start(draft.channelId);
    return entry.requestId;
  }

  /** Sends a message again that the server rejected. */
  async retry(requestId: string): Promise<void> {
    const entry = this.#entries.get(requestId);
    if (entry?.failure === undefined) return;
    const { failure: _, ...waiting } = entry;
    await this.#put(waiting);
    this.#start(entry.draft.channelId);
  }

  /** Gives a message up. It is posted all the same if it is being sent. */
  async discard(requestId: string): Promise<void> {
    await this.#options.storage.delete(requestId);
    this.#forget(requestId);
  }

  /** Stops sending; the entries remain in the storage. */
  async close(): Promise<void> {
    this.#closed.abort();
    await Promise.all(this.#sending.values());
  }

  #add(entry: Entry): void {
    this.#lastOrder = Math.max(this.#lastOrder, entry.order);
    this.#entries.set(entry.requestId, entry);
    this.#options.onChange?.();
  }

  #forget(requestId: string): void {
    this.#entries.delete(requestId);
    this.#options.onChange?.();
  }

  async #put(entry: Entry): Promise<void> {
    this.#entries.set(entry.requestId, entry);
    await this.#options.storage.put(entry);
    this.#options.onChange?.();
  }

  #start(channelId: string): void {
    if (this.#sending.has(channelId) || this.#next(channelId) === undefined) return;
    const sending = this.#sendAll(channelId).finally(() => this.#sending.delete(channelId));
    this.#sending.set(channelId, sending);
  }

  #next(channelId: string): Entry | undefined {
    return this.entries.find(({ draft, failure }) => draft.channelId === channelId && failure === undefined);
  }

  async #sendAll(channelId: string): Promise<void> {
    const { signal } = this.#closed;
    for (let attempt = 0; !signal.aborted; ) {
      const entry = this.#next(channelId);
      if (entry === undefined) return;
      const { exclusive = (work) => work() } = this.#options.storage;
      const error = await exclusive(() => this.#attempt(entry));
      if (error === undefined) attempt = 0;
      else if (isTemporary(error)) await pause(delayMs(error, attempt++), signal);
      else await this.#put({ ...entry, failure: ApiError.from(error).message });
    }
  }

  async #attempt({ requestId, draft }: Entry): Promise<unknown> {
    const { transport, onSent, storage } = this.#options;
    const stored = await storage.all();
    // Another tab has sent or discarded it.
    if (!stored.some((other) => other.requestId === requestId)) return void this.#forget(requestId);
    let message: MessageJson | undefined;
    try {
      const { signal } = this.#closed;
      ({ message } = await transport.unary(
        'MessageService/SendMessage',
        { ...draft, requestId },
        { signal },
      ));
    } catch (error) {
      return error;
    }
    await this.discard(requestId);
    if (message !== undefined) onSent?.(message, requestId);
    return undefined;
  }
}

/** Keeps entries as long as the page. */
export function memoryStorage(): OutboxStorage {
  const entries = new Map<string, Entry>();
  return {
    all: async () => [...entries.values()],
    put: async (entry) => void entries.set(entry.requestId, entry),
    delete: async (requestId) => void entries.delete(requestId),
  };
}
