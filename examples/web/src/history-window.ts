import { createClient, type Transport } from '@connectrpc/connect';
import type { ChannelState } from '@serp/discuss-client/channel-state';
import type { Message } from '@serp/discuss-client/gen/serp/discuss/v1/message_pb';
import {
  type ListMessagesRequest,
  MessageService,
} from '@serp/discuss-client/gen/serp/discuss/v1/message_service_pb';
import type { MessageLog } from '@serp/discuss-client/message-log';
import { readChannel } from '@serp/discuss-client/read-channel';
import type { Store } from '@serp/discuss-client/store';

type Position = ListMessagesRequest['position'];

/** The part of a channel's history that is shown: the messages between two of them, without a gap. */
export class HistoryWindow {
  readonly channelId: bigint;
  hasOlder = true;
  isLoading = false;
  readonly #transport: Transport;
  readonly #store: Store;
  #oldestId = 0n;
  /** Undefined if the window extends to the newest message. */
  #newestId: bigint | undefined;
  #log: MessageLog | undefined;

  constructor(transport: Transport, store: Store, channelId: bigint) {
    this.#transport = transport;
    this.#store = store;
    this.channelId = channelId;
  }

  /** False until its first page was read. */
  get isOpen(): boolean {
    return this.#log !== undefined;
  }

  get hasNewer(): boolean {
    return this.#newestId !== undefined;
  }

  /** Messages of the window in their order, without replies that are shown only in their threads. */
  get messages(): Message[] {
    if (this.#log !== undefined && this.#log !== this.#state.log) this.#restart();
    return [...this.#state.log.messages.values()]
      .filter(
        ({ id, rootMessageId, alsoInChannel }) =>
          this.#contains(id) && (rootMessageId === 0n || alsoInChannel),
      )
      .sort((a, b) => Number(a.position - b.position));
  }

  async openNewest(): Promise<void> {
    if (this.#log !== undefined && !this.hasNewer) return;
    await this.#exclusive(async () => {
      await readChannel(this.#transport, this.#store, this.channelId);
      this.#restart();
    });
  }

  async openAround(messageId: bigint): Promise<void> {
    if (this.#log === undefined) await this.openNewest();
    if (this.#contains(messageId) && this.#state.log.messages.has(messageId)) return;
    await this.#exclusive(async () => {
      const page = await this.#list({ case: 'aroundMessageId', value: messageId });
      const ids = page.messages.map(({ id }) => id);
      this.#oldestId = least(ids);
      this.#newestId = page.hasNewer ? greatest(ids) : undefined;
      this.hasOlder = page.hasOlder;
    });
  }

  async loadOlder(): Promise<void> {
    if (!this.hasOlder || this.isLoading || this.#log === undefined) return;
    await this.#exclusive(async () => {
      const page = await this.#list({ case: 'beforeMessageId', value: this.#oldestId });
      if (page.messages.length > 0) this.#oldestId = least(page.messages.map(({ id }) => id));
      this.hasOlder = page.hasOlder;
    });
  }

  async loadNewer(): Promise<void> {
    if (this.#newestId === undefined || this.isLoading) return;
    const value = this.#newestId;
    await this.#exclusive(async () => {
      const page = await this.#list({ case: 'afterMessageId', value });
      this.#newestId = page.hasNewer ? greatest(page.messages.map(({ id }) => id)) : undefined;
    });
  }

  get #state(): ChannelState {
    return this.#store.channel(this.channelId);
  }

  #contains(id: bigint): boolean {
    return id >= this.#oldestId && (this.#newestId === undefined || id <= this.#newestId);
  }

  /** Begins with the newest page, which the store has. */
  #restart(): void {
    const messages = [...this.#state.log.messages.values()].sort((a, b) => Number(b.position - a.position));
    const gap = messages.findIndex(
      ({ position }, index) => index > 0 && messages[index - 1]?.position !== position + 1n,
    );
    const [oldest] = (gap < 0 ? messages : messages.slice(0, gap)).slice(-1);
    this.#log = this.#state.log;
    this.#oldestId = oldest?.id ?? 0n;
    this.#newestId = undefined;
    this.hasOlder = (oldest?.position ?? 1n) > 1n;
  }

  async #list(position: Position) {
    const client = createClient(MessageService, this.#transport);
    const page = await client.listMessages({ channelId: this.channelId, position });
    this.#store.loadMessages(this.channelId, page.messages, page.headSeq);
    return page;
  }

  async #exclusive(work: () => Promise<void>): Promise<void> {
    this.isLoading = true;
    try {
      await work();
    } finally {
      this.isLoading = false;
    }
  }
}

function least(ids: readonly bigint[]): bigint {
  return ids.toSorted(byValue)[0] ?? 0n;
}

function greatest(ids: readonly bigint[]): bigint {
  return ids.toSorted(byValue).at(-1) ?? 0n;
}

function byValue(a: bigint, b: bigint): number {
  return a < b ? -1 : 1;
}
