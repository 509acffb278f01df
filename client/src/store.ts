import type { Channel } from '../gen/serp/discuss/v1/channel_pb.ts';
import type { Event } from '../gen/serp/discuss/v1/event_pb.ts';
import type {
  ChannelState as StartState,
  StreamStarted,
  SubscribeResponse,
} from '../gen/serp/discuss/v1/event_service_pb.ts';
import type { Member, Membership } from '../gen/serp/discuss/v1/member_pb.ts';
import type { Message } from '../gen/serp/discuss/v1/message_pb.ts';
import type { UserPresence } from '../gen/serp/discuss/v1/presence_pb.ts';
import { ChannelState } from './channel-state.ts';

export type Payload = SubscribeResponse['payload'];

/**
 * The state of all channels of one user, from what was read and the messages of a Subscribe stream. The state after an
 * event is the state that the server returns at that time.
 */
export class Store {
  readonly channels = new Map<bigint, ChannelState>();
  /** Without an entry, the presence of a user is unknown. */
  readonly presence = new Map<bigint, UserPresence>();
  /** Increases with each change, for `useSyncExternalStore` and the like. */
  version = 0;
  readonly #userId: bigint;
  readonly #listeners = new Set<() => void>();
  #started = new Set<bigint>();

  constructor(userId: bigint) {
    this.#userId = userId;
  }

  /** Calls `listener` after each change, until the returned function is called. */
  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** The state of a channel; an empty one if nothing is known about it yet. */
  channel(channelId: bigint): ChannelState {
    let state = this.channels.get(channelId);
    if (state === undefined) {
      state = new ChannelState(channelId, this.#userId);
      this.channels.set(channelId, state);
    }
    return state;
  }

  /** Positions for the next Subscribe request. */
  get cursors(): { channelId: bigint; seq: bigint }[] {
    return [...this.channels.values()].flatMap(({ id, seq }) =>
      seq === undefined ? [] : [{ channelId: id, seq }],
    );
  }

  /** Channels whose events were lost: read them again, and call `loadChannel` last. */
  get outdated(): bigint[] {
    return [...this.channels.values()].filter((state) => state.isOutdated).map(({ id }) => id);
  }

  /** Takes over an entry of ListChannels, or a channel without the caller's state. */
  loadChannel(channel: Channel, headSeq: bigint, membership?: Membership): void {
    this.channel(channel.id).load(channel, headSeq, membership);
    this.#changed();
  }

  /** Takes over a page of ListMembers. `headSeq` is the `seq` that the channel had before the request. */
  loadMembers(channelId: bigint, members: readonly Member[], headSeq: bigint): void {
    this.channel(channelId).loadMembers(members, headSeq);
    this.#changed();
  }

  /** Takes over a page of ListMessages, with its `headSeq`. */
  loadMessages(channelId: bigint, messages: readonly Message[], headSeq: bigint): void {
    this.channel(channelId).loadMessages(messages, headSeq);
    this.#changed();
  }

  loadPresence(users: readonly UserPresence[]): void {
    for (const user of users) this.#setPresence(user);
    this.#changed();
  }

  /** Applies the payload of a message of the stream. Unknown ones come from a newer server and are ignored. */
  apply(payload: Payload): void {
    switch (payload.case) {
      case 'event':
        this.#applyEvent(payload.value);
        break;
      case 'started':
        this.#start(payload.value);
        break;
      case 'channelOpened':
        if (payload.value.channel !== undefined) this.#open(payload.value.channel);
        break;
      case 'channelClosed':
        this.channels.delete(payload.value.channelId);
        break;
      case 'reset':
        this.channel(payload.value.channelId).reset(payload.value.headSeq);
        break;
      case 'readMarkerMoved':
        this.channels.get(payload.value.channelId)?.moveMarker(payload.value);
        break;
      case 'membershipChanged':
        this.#changeMembership(payload.value.membership);
        break;
      case 'presence':
        for (const user of payload.value.users) this.#setPresence(user);
        break;
      case 'presenceReset':
        this.presence.clear();
        break;
      case 'typing':
        this.channels.get(payload.value.channelId)?.type(payload.value);
        break;
      default:
        return;
    }
    this.#changed();
  }

  #applyEvent(event: Event): void {
    if (event.change.case === 'channelDeleted') this.channels.delete(event.channelId);
    else this.channel(event.channelId).apply(event);
  }

  /** Channels that no `started` message names are no longer the caller's. */
  #start({ channels, more }: StreamStarted): void {
    for (const state of channels) {
      this.#open(state);
      this.#started.add(state.channelId);
    }
    if (more) return;
    for (const channelId of this.channels.keys())
      if (!this.#started.has(channelId)) this.channels.delete(channelId);
    this.#started = new Set();
  }

  #open({ channelId, startSeq, headSeq, membership }: StartState): void {
    this.channel(channelId).open(startSeq, headSeq, membership);
  }

  #changeMembership(membership: Membership | undefined): void {
    if (membership !== undefined) this.channels.get(membership.channelId)?.changeMembership(membership);
  }

  /** Responses and the stream can arrive in any order. */
  #setPresence(user: UserPresence): void {
    const known = this.presence.get(user.userId);
    if (known === undefined || user.version >= known.version) this.presence.set(user.userId, user);
  }

  #changed(): void {
    this.version += 1;
    for (const listener of this.#listeners) listener();
  }
}
