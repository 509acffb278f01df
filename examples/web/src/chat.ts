import { authorize } from '@serp/discuss-client/authorize';
import { fetchTransport } from '@serp/discuss-client/fetch-transport';
import type { SubscribeResponseJson } from '@serp/discuss-client/gen/serp/discuss/v1/event_service_pb';
import type { MessageJson } from '@serp/discuss-client/gen/serp/discuss/v1/message_pb';
import { indexedDbStorage } from '@serp/discuss-client/indexed-db-storage';
import { compareInt64 } from '@serp/discuss-client/int64';
import { type Entry, Outbox } from '@serp/discuss-client/outbox';
import { readChannel, readChannels } from '@serp/discuss-client/read-channel';
import { SharedSubscription } from '@serp/discuss-client/shared-subscription';
import { Store } from '@serp/discuss-client/store';
import type { ConnectionState } from '@serp/discuss-client/subscription';
import type { Transport } from '@serp/discuss-client/transport';
import { withDefaults } from './defaults.ts';
import { type Demo, type DemoUser, fetchToken } from './demo.ts';
import { debounced } from './dom.ts';
import { textOf } from './errors.ts';
import { HistoryWindow } from './history-window.ts';
import { currentLanguage, t } from './i18n.ts';

const PRESENCE_DELAY_MS = 2_000;
const MENTION = 'MENTION';
const DEVICE = 'device';

/** An entry of the outbox, until its message is part of the history. */
export type Pending = { readonly entry: Entry; readonly messageId?: string };

/** The session of a signed-in user: what all views read and call. */
export class Chat {
  readonly user: DemoUser;
  readonly store: Store;
  readonly transport: Transport;
  readonly users: ReadonlyMap<string, DemoUser>;
  /** The newest message of each channel as the list was read. */
  readonly previews = new Map<string, MessageJson>();
  /** Unread mentions of the user, by channel. */
  readonly mentions = new Map<string, number>();
  /** Options that the user has chosen, by message. */
  readonly votes = new Map<string, readonly number[]>();
  readonly drafts = new Map<string, string>();
  connection: ConnectionState = 'connecting';
  failure = '';
  readonly #names: ReadonlyMap<string, string>;
  readonly #sent = new Map<string, Pending>();
  readonly #deliveredIds = new Set<string>();
  /** Up to which message the user's reading was reported. */
  readonly #marked = new Map<string, string>();
  readonly #windows = new Map<string, HistoryWindow>();
  readonly #listeners = new Set<() => void>();
  #outbox: Outbox | undefined;
  #subscription: SharedSubscription | undefined;

  private constructor(user: DemoUser, { users, others, webUrl }: Demo) {
    this.user = user;
    this.#names = new Map([...users, ...others].map(({ id, name }) => [id, name]));
    this.users = new Map(users.map((other) => [other.id, other]));
    this.store = new Store(user.id);
    const headers = () => ({ 'accept-language': currentLanguage() });
    this.transport = authorize(fetchTransport({ baseUrl: webUrl, headers }), () => fetchToken(user));
    this.store.subscribe(this.changed);
  }

  static async open(user: DemoUser, demo: Demo): Promise<Chat> {
    const chat = new Chat(user, demo);
    await readChannels(chat.transport, chat.store, {
      onEntry: ({ channel, lastMessage, unreadMentionCount }) => {
        if (channel?.id === undefined) return;
        if (lastMessage !== undefined) chat.previews.set(channel.id, lastMessage);
        chat.mentions.set(channel.id, unreadMentionCount ?? 0);
      },
    });
    chat.#outbox = await Outbox.open({
      transport: chat.transport,
      storage: await indexedDbStorage(`outbox ${demo.webUrl} ${user.id}`),
      onSent: (message, requestId) => chat.#onSent(message, requestId),
      onChange: chat.changed,
    });
    chat.#subscription = new SharedSubscription({
      name: `${demo.webUrl} ${user.id}`,
      transport: chat.transport,
      store: chat.store,
      read: (channelId, signal) => readChannel(chat.transport, chat.store, channelId, { signal }),
      onMessage: (response) => chat.#onMessage(response),
      onState: (state, error) => {
        chat.connection = state;
        chat.failure = error === undefined ? '' : textOf(error);
        chat.changed();
      },
      device: { id: deviceId(), kind: 'web' },
    });
    void chat.#readPresence();
    return chat;
  }

  /** Calls `listener` soon after any change, once for many. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  readonly changed = debounced(() => {
    for (const listener of this.#listeners) listener();
  });

  wake(): void {
    this.#subscription?.wake();
  }

  get outbox(): Outbox {
    if (this.#outbox === undefined) throw new Error('The outbox is not open.');
    return this.#outbox;
  }

  nameOf(userId: string): string {
    if (userId === '0') return t('service');
    return this.#names.get(userId) ?? `#${userId}`;
  }

  /** Messages of a channel or thread that were not posted yet, or that the stream has not delivered yet. */
  pending(channelId: string, rootId = '0'): Pending[] {
    const { messages } = this.store.channel(channelId).log;
    for (const [requestId, { messageId }] of this.#sent)
      if (messageId !== undefined && messages.has(messageId)) this.#sent.delete(requestId);
    const waiting = this.outbox.entries
      .filter(({ requestId }) => !this.#deliveredIds.has(requestId))
      .map((entry) => ({ entry }));
    return [...this.#sent.values(), ...waiting].filter(
      ({ entry: { draft } }) => draft.channelId === channelId && (draft.replyToMessageId ?? '0') === rootId,
    );
  }

  window(channelId: string): HistoryWindow {
    let window = this.#windows.get(channelId);
    if (window === undefined) {
      window = new HistoryWindow(this.transport, this.store, channelId);
      this.#windows.set(channelId, window);
    }
    return window;
  }

  async markRead(channelId: string, messageId: string): Promise<void> {
    const { membership } = this.store.channel(channelId);
    this.mentions.delete(channelId);
    const marked = this.#marked.get(channelId) ?? membership?.lastReadMessageId;
    if (membership === undefined || compareInt64(marked, messageId) >= 0) return;
    this.#marked.set(channelId, messageId);
    await this.transport
      .unary('MemberService/MarkRead', { channelId, messageId })
      .catch(() => this.#marked.delete(channelId));
  }

  #onSent(message: MessageJson, requestId: string): void {
    const { id, channelId, content, rootMessageId } = withDefaults(message);
    const draft = { channelId, content, replyToMessageId: rootMessageId };
    this.#sent.set(requestId, { entry: { requestId, order: 0, draft }, messageId: id });
    this.changed();
  }

  #onMessage({
    presenceReset,
    channelOpened,
    readMarkerMoved,
    event,
    activity,
  }: SubscribeResponseJson): void {
    if (presenceReset !== undefined)
      setTimeout(() => void this.#readPresence(), Math.random() * PRESENCE_DELAY_MS);
    if (channelOpened?.channel?.channelId !== undefined) void this.#readNew(channelOpened.channel.channelId);
    // Read in another tab, or on another device.
    if (readMarkerMoved?.channelId !== undefined && readMarkerMoved.unreadCount === undefined)
      this.mentions.delete(readMarkerMoved.channelId);
    // The stream can deliver a message before the response to its sender arrives.
    if (event?.messageCreated?.requestId !== undefined)
      this.#deliveredIds.add(event.messageCreated.requestId);
    const { channelId, type } = activity ?? {};
    if (channelId === undefined || !type?.includes(MENTION)) return;
    this.mentions.set(channelId, (this.mentions.get(channelId) ?? 0) + 1);
  }

  async #readNew(channelId: string): Promise<void> {
    await readChannel(this.transport, this.store, channelId).catch(() => {});
  }

  async #readPresence(): Promise<void> {
    const userIds = [...this.users.keys()];
    try {
      const { users = [] } = await this.transport.unary('PresenceService/GetPresence', { userIds });
      this.store.loadPresence(users);
    } catch {
      // The stream reports changes; without it, presence is unknown.
    }
  }
}

/** One for all tabs of the browser, as their stream is. */
function deviceId(): string {
  const known = localStorage.getItem(DEVICE);
  const id = known ?? crypto.randomUUID();
  if (known === null) localStorage.setItem(DEVICE, id);
  return id;
}
