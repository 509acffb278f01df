import { type Client, createClient, type Interceptor, type Transport } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-web';
import { authorize } from '@serp/discuss-client/authorize';
import { AttachmentService } from '@serp/discuss-client/gen/serp/discuss/v1/attachment_service_pb';
import type { Event } from '@serp/discuss-client/gen/serp/discuss/v1/event_pb';
import {
  EventService,
  type SubscribeResponse,
} from '@serp/discuss-client/gen/serp/discuss/v1/event_service_pb';
import { MemberService } from '@serp/discuss-client/gen/serp/discuss/v1/member_service_pb';
import type { Message } from '@serp/discuss-client/gen/serp/discuss/v1/message_pb';
import { MessageService } from '@serp/discuss-client/gen/serp/discuss/v1/message_service_pb';
import { PresenceService } from '@serp/discuss-client/gen/serp/discuss/v1/presence_service_pb';
import { SearchService } from '@serp/discuss-client/gen/serp/discuss/v1/search_service_pb';
import { indexedDbStorage } from '@serp/discuss-client/indexed-db-storage';
import { type Entry, Outbox } from '@serp/discuss-client/outbox';
import { readChannel, readChannels } from '@serp/discuss-client/read-channel';
import { SharedSubscription } from '@serp/discuss-client/shared-subscription';
import { Store } from '@serp/discuss-client/store';
import type { ConnectionState } from '@serp/discuss-client/subscription';
import { type Demo, type DemoUser, fetchToken } from './demo.ts';
import { debounced } from './dom.ts';
import { textOf } from './errors.ts';
import { HistoryWindow } from './history-window.ts';
import { currentLanguage, t } from './i18n.ts';

const PRESENCE_DELAY_MS = 2_000;
const MENTION = 'MENTION';
const DEVICE = 'device';

/** An entry of the outbox, until its message is part of the history. */
export type Pending = { readonly entry: Entry; readonly messageId?: bigint };

/** The session of a signed-in user: what all views read and call. */
export class Chat {
  readonly user: DemoUser;
  readonly store: Store;
  readonly transport: Transport;
  readonly messages: Client<typeof MessageService>;
  readonly members: Client<typeof MemberService>;
  readonly presence: Client<typeof PresenceService>;
  readonly search: Client<typeof SearchService>;
  readonly attachments: Client<typeof AttachmentService>;
  readonly users: ReadonlyMap<bigint, DemoUser>;
  /** The newest message of each channel as the list was read. */
  readonly previews = new Map<bigint, Message>();
  /** Unread mentions of the user, by channel. */
  readonly mentions = new Map<bigint, number>();
  /** Options that the user has chosen, by message. */
  readonly votes = new Map<bigint, readonly number[]>();
  readonly drafts = new Map<string, string>();
  connection: ConnectionState = 'connecting';
  failure = '';
  readonly #names: ReadonlyMap<bigint, string>;
  readonly #sent = new Map<string, Pending>();
  readonly #deliveredIds = new Set<string>();
  /** Up to which message the user's reading was reported. */
  readonly #marked = new Map<bigint, bigint>();
  readonly #windows = new Map<bigint, HistoryWindow>();
  readonly #listeners = new Set<() => void>();
  #outbox: Outbox | undefined;
  #subscription: SharedSubscription | undefined;

  private constructor(user: DemoUser, { users, others, webUrl }: Demo) {
    this.user = user;
    this.#names = new Map([...users, ...others].map(({ id, name }) => [BigInt(id), name]));
    this.users = new Map(users.map((other) => [other.id, other]));
    this.store = new Store(user.id);
    const localize: Interceptor = (next) => (request) => {
      request.header.set('accept-language', currentLanguage());
      return next(request);
    };
    const interceptors = [localize, authorize(() => fetchToken(user))];
    this.transport = createConnectTransport({ baseUrl: webUrl, useBinaryFormat: true, interceptors });
    this.messages = createClient(MessageService, this.transport);
    this.members = createClient(MemberService, this.transport);
    this.presence = createClient(PresenceService, this.transport);
    this.search = createClient(SearchService, this.transport);
    this.attachments = createClient(AttachmentService, this.transport);
    this.store.subscribe(this.changed);
  }

  static async open(user: DemoUser, demo: Demo): Promise<Chat> {
    const chat = new Chat(user, demo);
    await readChannels(chat.transport, chat.store, {
      onEntry: ({ channel, lastMessage, unreadMentionCount }) => {
        if (channel === undefined) return;
        if (lastMessage !== undefined) chat.previews.set(channel.id, lastMessage);
        chat.mentions.set(channel.id, unreadMentionCount);
      },
    });
    chat.#outbox = await Outbox.open({
      client: chat.messages,
      storage: await indexedDbStorage(`outbox ${demo.webUrl} ${user.id}`),
      onSent: (message, requestId) => chat.#onSent(message, requestId),
      onChange: chat.changed,
    });
    chat.#subscription = new SharedSubscription({
      name: `${demo.webUrl} ${user.id}`,
      client: createClient(EventService, chat.transport),
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

  nameOf(userId: bigint): string {
    if (userId === 0n) return t('service');
    return this.#names.get(userId) ?? `#${userId}`;
  }

  /** Messages of a channel or thread that were not posted yet, or that the stream has not delivered yet. */
  pending(channelId: bigint, rootId = 0n): Pending[] {
    const { messages } = this.store.channel(channelId).log;
    for (const [requestId, { messageId }] of this.#sent)
      if (messageId !== undefined && messages.has(messageId)) this.#sent.delete(requestId);
    const waiting = this.outbox.entries
      .filter(({ requestId }) => !this.#deliveredIds.has(requestId))
      .map((entry) => ({ entry }));
    return [...this.#sent.values(), ...waiting].filter(
      ({ entry: { draft } }) => draft.channelId === channelId && (draft.replyToMessageId ?? 0n) === rootId,
    );
  }

  window(channelId: bigint): HistoryWindow {
    let window = this.#windows.get(channelId);
    if (window === undefined) {
      window = new HistoryWindow(this.transport, this.store, channelId);
      this.#windows.set(channelId, window);
    }
    return window;
  }

  async markRead(channelId: bigint, messageId: bigint): Promise<void> {
    const { membership } = this.store.channel(channelId);
    this.mentions.delete(channelId);
    const marked = this.#marked.get(channelId) ?? membership?.lastReadMessageId ?? 0n;
    if (membership === undefined || marked >= messageId) return;
    this.#marked.set(channelId, messageId);
    await this.members.markRead({ channelId, messageId }).catch(() => this.#marked.delete(channelId));
  }

  #onSent(message: Message, requestId: string): void {
    const { channelId, content } = message;
    const draft = { channelId, content, replyToMessageId: message.rootMessageId };
    this.#sent.set(requestId, { entry: { requestId, order: 0, draft }, messageId: message.id });
    this.changed();
  }

  #onMessage({ payload }: SubscribeResponse): void {
    if (payload.case === 'presenceReset')
      setTimeout(() => void this.#readPresence(), Math.random() * PRESENCE_DELAY_MS);
    if (payload.case === 'channelOpened') void this.#readNew(payload.value.channel?.channelId ?? 0n);
    // Read in another tab, or on another device.
    if (payload.case === 'readMarkerMoved' && payload.value.unreadCount === 0)
      this.mentions.delete(payload.value.channelId);
    if (payload.case === 'event') this.#delivered(payload.value);
    if (payload.case !== 'activity' || !payload.value.type.includes(MENTION)) return;
    const { channelId } = payload.value;
    this.mentions.set(channelId, (this.mentions.get(channelId) ?? 0) + 1);
  }

  /** The stream can deliver a message before the response to its sender arrives. */
  #delivered({ change }: Event): void {
    if (change.case === 'messageCreated' && change.value.requestId !== '')
      this.#deliveredIds.add(change.value.requestId);
  }

  async #readNew(channelId: bigint): Promise<void> {
    await readChannel(this.transport, this.store, channelId).catch(() => {});
  }

  async #readPresence(): Promise<void> {
    const userIds = [...this.users.keys()];
    try {
      const { users } = await this.presence.getPresence({ userIds });
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
