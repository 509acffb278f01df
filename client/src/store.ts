import type { ChannelJson } from '../gen/serp/discuss/v1/channel_pb.d.ts';
import type { EventJson } from '../gen/serp/discuss/v1/event_pb.d.ts';
import type {
  ChannelCursorJson,
  ChannelStateJson,
  StreamStartedJson,
  SubscribeResponseJson,
} from '../gen/serp/discuss/v1/event_service_pb.d.ts';
import type { MemberJson, MembershipJson } from '../gen/serp/discuss/v1/member_pb.d.ts';
import type { MessageJson } from '../gen/serp/discuss/v1/message_pb.d.ts';
import type { UserPresenceJson } from '../gen/serp/discuss/v1/presence_pb.d.ts';
import { ChannelState } from './channel-state.ts';
import { compareInt64 } from './int64.ts';

/**
 * The state of all channels of one user, from what was read and the messages of a Subscribe stream. The state after an
 * event is the state that the server returns at that time.
 */
export class Store {
  readonly channels = new Map<string, ChannelState>();
  /** Without an entry, the presence of a user is unknown. */
  readonly presence = new Map<string, UserPresenceJson>();
  /** Increases with each change, for `useSyncExternalStore` and the like. */
  version = 0;
  readonly #userId: string;
  readonly #listeners = new Set<() => void>();
  #started = new Set<string>();

  constructor(userId: string) {
    this.#userId = userId;
  }

  /** Calls `listener` after each change, until the returned function is called. */
  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** The state of a channel; an empty one if nothing is known about it yet. */
  channel(channelId: string): ChannelState {
    let state = this.channels.get(channelId);
    if (state === undefined) {
      state = new ChannelState(channelId, this.#userId);
      this.channels.set(channelId, state);
    }
    return state;
  }

  /** Positions for the next Subscribe request. */
  get cursors(): ChannelCursorJson[] {
    return [...this.channels.values()].flatMap(({ id, seq }) =>
      seq === undefined ? [] : [{ channelId: id, seq }],
    );
  }

  /** Channels whose events were lost: read them again, and call `loadChannel` last. */
  get outdated(): string[] {
    return [...this.channels.values()].filter((state) => state.isOutdated).map(({ id }) => id);
  }

  /** Takes over an entry of ListChannels, or a channel without the caller's state. */
  loadChannel(channel: ChannelJson, headSeq?: string, membership?: MembershipJson): void {
    this.channel(channel.id ?? '0').load(channel, headSeq, membership);
    this.#changed();
  }

  /** Takes over a page of ListMembers. `headSeq` is the `seq` that the channel had before the request. */
  loadMembers(channelId: string, members: readonly MemberJson[], headSeq?: string): void {
    this.channel(channelId).loadMembers(members, headSeq);
    this.#changed();
  }

  /** Takes over a page of ListMessages, with its `headSeq`. */
  loadMessages(channelId: string, messages: readonly MessageJson[], headSeq?: string): void {
    this.channel(channelId).loadMessages(messages, headSeq);
    this.#changed();
  }

  loadPresence(users: readonly UserPresenceJson[]): void {
    for (const user of users) this.#setPresence(user);
    this.#changed();
  }

  /** Applies a message of the stream. Unknown ones come from a newer server and are ignored. */
  apply(response: SubscribeResponseJson): void {
    const { event, started, channelOpened, channelClosed, reset, readMarkerMoved } = response;
    const { membershipChanged, presence, presenceReset, typing } = response;
    if (event !== undefined) this.#applyEvent(event);
    if (started !== undefined) this.#start(started);
    if (channelOpened?.channel !== undefined) this.#open(channelOpened.channel);
    if (channelClosed !== undefined) this.channels.delete(channelClosed.channelId ?? '0');
    if (reset !== undefined) this.channel(reset.channelId ?? '0').reset(reset.headSeq);
    if (readMarkerMoved !== undefined) this.#known(readMarkerMoved.channelId)?.moveMarker(readMarkerMoved);
    const { membership } = membershipChanged ?? {};
    if (membership !== undefined) this.#known(membership.channelId)?.changeMembership(membership);
    for (const user of presence?.users ?? []) this.#setPresence(user);
    if (presenceReset !== undefined) this.presence.clear();
    if (typing !== undefined) this.#known(typing.channelId)?.type(typing);
    this.#changed();
  }

  #known(channelId = '0'): ChannelState | undefined {
    return this.channels.get(channelId);
  }

  #applyEvent(event: EventJson): void {
    const { channelId = '0', channelDeleted } = event;
    if (channelDeleted !== undefined) this.channels.delete(channelId);
    else this.channel(channelId).apply(event);
  }

  /** Channels that no `started` message names are no longer the caller's. */
  #start({ channels = [], more = false }: StreamStartedJson): void {
    for (const state of channels) {
      this.#open(state);
      this.#started.add(state.channelId ?? '0');
    }
    if (more) return;
    for (const channelId of this.channels.keys())
      if (!this.#started.has(channelId)) this.channels.delete(channelId);
    this.#started = new Set();
  }

  #open({ channelId = '0', startSeq, headSeq, membership }: ChannelStateJson): void {
    this.channel(channelId).open(startSeq, headSeq, membership);
  }

  /** Responses and the stream can arrive in any order. */
  #setPresence(user: UserPresenceJson): void {
    const { userId = '0', version } = user;
    const known = this.presence.get(userId);
    if (known === undefined || compareInt64(version, known.version) >= 0) this.presence.set(userId, user);
  }

  #changed(): void {
    this.version += 1;
    for (const listener of this.#listeners) listener();
  }
}
