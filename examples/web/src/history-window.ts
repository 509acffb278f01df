import type { ChannelState } from '@serp/discuss-client/channel-state';
import type { ListMessagesRequestJson } from '@serp/discuss-client/gen/serp/discuss/v1/message_service_pb';
import { compareInt64, nextInt64 } from '@serp/discuss-client/int64';
import type { MessageLog } from '@serp/discuss-client/message-log';
import { readChannel } from '@serp/discuss-client/read-channel';
import type { Store } from '@serp/discuss-client/store';
import type { Transport } from '@serp/discuss-client/transport';
import { type Message, withDefaults } from './defaults.ts';

/** The part of a channel's history that is shown: the messages between two of them, without a gap. */
export class HistoryWindow {
  readonly channelId: string;
  hasOlder = true;
  isLoading = false;
  readonly #transport: Transport;
  readonly #store: Store;
  #oldestId = '0';
  /** Undefined if the window extends to the newest message. */
  #newestId: string | undefined;
  #log: MessageLog | undefined;

  constructor(transport: Transport, store: Store, channelId: string) {
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
      .map(withDefaults)
      .filter(
        ({ id, rootMessageId, alsoInChannel }) =>
          this.#contains(id) && (rootMessageId === '0' || alsoInChannel),
      )
      .sort(byPosition);
  }

  async openNewest(): Promise<void> {
    if (this.#log !== undefined && !this.hasNewer) return;
    await this.#exclusive(async () => {
      await readChannel(this.#transport, this.#store, this.channelId);
      this.#restart();
    });
  }

  /** The messages around one; the oldest ones for '0'. */
  async openAround(messageId: string): Promise<void> {
    if (this.#log === undefined) await this.openNewest();
    if (this.#contains(messageId) && this.#state.log.messages.has(messageId)) return;
    if (messageId === '0' && !this.hasOlder) return;
    await this.#exclusive(async () => {
      const page = await this.#list(
        messageId === '0' ? { afterMessageId: '0' } : { aroundMessageId: messageId },
      );
      const ids = idsOf(page);
      this.#oldestId = ids[0] ?? '0';
      this.#newestId = page.hasNewer ? ids.at(-1) : undefined;
      this.hasOlder = page.hasOlder ?? false;
    });
  }

  async loadOlder(): Promise<void> {
    if (!this.hasOlder || this.isLoading || this.#log === undefined) return;
    await this.#exclusive(async () => {
      const page = await this.#list({ beforeMessageId: this.#oldestId });
      this.#oldestId = idsOf(page)[0] ?? this.#oldestId;
      this.hasOlder = page.hasOlder ?? false;
    });
  }

  async loadNewer(): Promise<void> {
    if (this.#newestId === undefined || this.isLoading) return;
    const afterMessageId = this.#newestId;
    await this.#exclusive(async () => {
      const page = await this.#list({ afterMessageId });
      this.#newestId = page.hasNewer ? idsOf(page).at(-1) : undefined;
    });
  }

  get #state(): ChannelState {
    return this.#store.channel(this.channelId);
  }

  #contains(id: string): boolean {
    if (compareInt64(id, this.#oldestId) < 0) return false;
    return this.#newestId === undefined || compareInt64(id, this.#newestId) <= 0;
  }

  /** Begins with the newest page, which the store has. */
  #restart(): void {
    const messages = [...this.#state.log.messages.values()].map(withDefaults).sort(byPosition).reverse();
    const gap = messages.findIndex(
      ({ position }, index) => index > 0 && messages[index - 1]?.position !== nextInt64(position),
    );
    const [oldest] = (gap < 0 ? messages : messages.slice(0, gap)).slice(-1);
    this.#log = this.#state.log;
    this.#oldestId = oldest?.id ?? '0';
    this.#newestId = undefined;
    this.hasOlder = compareInt64(oldest?.position, '1') > 0;
  }

  async #list(position: Omit<ListMessagesRequestJson, 'channelId'>) {
    const request = { channelId: this.channelId, ...position };
    const page = await this.#transport.unary('MessageService/ListMessages', request);
    this.#store.loadMessages(this.channelId, page.messages ?? [], page.headSeq);
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

/** In ascending order. */
function idsOf({ messages = [] }: { messages?: readonly { id?: string }[] }): string[] {
  return messages.map(({ id = '0' }) => id).sort(compareInt64);
}

export function byPosition(a: Message, b: Message): number {
  return compareInt64(a.position, b.position);
}
