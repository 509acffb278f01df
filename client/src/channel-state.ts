import type { Channel } from '../gen/serp/discuss/v1/channel_pb.ts';
import type { Event } from '../gen/serp/discuss/v1/event_pb.ts';
import type { ReadMarkerMoved } from '../gen/serp/discuss/v1/event_service_pb.ts';
import type { Member, Membership } from '../gen/serp/discuss/v1/member_pb.ts';
import { type Message, MessageType } from '../gen/serp/discuss/v1/message_pb.ts';
import type { TypingChanged } from '../gen/serp/discuss/v1/presence_pb.ts';
import { MessageLog } from './message-log.ts';

// Events can arrive before the response of a read that does not include them: they are applied to it again.
const MAX_RECENT = 500;

/** What one user knows about a channel. */
export class ChannelState {
  readonly id: bigint;
  /** Unset until it is loaded. */
  channel: Channel | undefined;
  /** The user's own state, with `unreadCount`; unset until the stream has started, or it is loaded. */
  membership: Membership | undefined;
  readonly members = new Map<bigint, Member>();
  log = new MessageLog();
  /** `seq` of the last event; undefined before the first one. */
  seq: bigint | undefined;
  /** True if events were lost: the channel must be read again. */
  isOutdated = false;
  /** By user who is typing: when the indicator ends, in milliseconds since the epoch. */
  readonly #typing = new Map<bigint, number>();
  readonly #userId: bigint;
  // Events up to these are included in `channel` and `membership`.
  #channelSeq = 0n;
  #membershipSeq = 0n;
  #recent: Event[] = [];
  // A replayed deletion arrives more than once.
  readonly #deleted = new Set<bigint>();

  constructor(id: bigint, userId: bigint) {
    this.id = id;
    this.#userId = userId;
  }

  load(channel: Channel, headSeq: bigint, membership: Membership | undefined): void {
    this.seq ??= headSeq;
    this.isOutdated = false;
    this.channel = { ...channel };
    this.#channelSeq = headSeq;
    for (const event of this.#after(headSeq)) this.#applyToChannel(event);
    if (membership === undefined) return;
    this.membership = { ...membership };
    this.#membershipSeq = headSeq;
    this.#deleted.clear();
    for (const event of this.#after(headSeq)) this.#applyToMembership(event, undefined);
  }

  loadMembers(members: readonly Member[], headSeq: bigint): void {
    for (const member of members) this.members.set(member.userId, member);
    for (const event of this.#after(headSeq)) this.#applyToMembers(event);
  }

  loadMessages(messages: readonly Message[], headSeq: bigint): void {
    this.log.load(messages, headSeq);
    for (const event of this.#after(headSeq)) this.log.apply(event);
  }

  open(startSeq: bigint, headSeq: bigint, membership: Membership | undefined): void {
    if (this.seq !== undefined && this.seq !== startSeq) this.isOutdated = true;
    this.seq = startSeq;
    if (membership === undefined) return;
    this.membership = { ...membership };
    this.#membershipSeq = headSeq;
    this.#deleted.clear();
  }

  reset(headSeq: bigint): void {
    this.seq = headSeq;
    this.isOutdated = true;
    this.log = new MessageLog();
    this.members.clear();
    this.#recent = [];
  }

  apply(event: Event): void {
    // Another tab can pass on an event that this one has already read.
    if (this.seq !== undefined && event.seq <= this.seq) return;
    if (this.seq !== undefined && event.seq > this.seq + 1n) this.isOutdated = true;
    this.seq = event.seq;
    this.#recent.push(event);
    if (this.#recent.length > MAX_RECENT) this.#recent.shift();
    const { change } = event;
    const deletedId = change.case === 'messageDeleted' ? change.value.message?.id : undefined;
    const before = this.log.messages.get(deletedId ?? 0n);
    this.log.apply(event);
    this.#applyToMembers(event);
    this.#applyToChannel(event);
    this.#applyToMembership(event, before);
  }

  moveMarker({ lastReadMessageId, unreadCount }: ReadMarkerMoved): void {
    if (this.membership === undefined) return;
    this.membership = { ...this.membership, lastReadMessageId, unreadCount };
  }

  /** The count follows from the events, which can arrive before or after the changed settings. */
  changeMembership(membership: Membership): void {
    const { lastReadMessageId, unreadCount } = this.membership ?? membership;
    this.membership = { ...membership, lastReadMessageId, unreadCount };
  }

  type({ userId, expireTime }: TypingChanged): void {
    if (expireTime === undefined) this.#typing.delete(userId);
    else this.#typing.set(userId, Number(expireTime.seconds) * 1_000 + expireTime.nanos / 1_000_000);
  }

  /** Users who are typing at this time, in milliseconds since the epoch. */
  typingUsers(now: number): bigint[] {
    return [...this.#typing].filter(([, end]) => end > now).map(([userId]) => userId);
  }

  #after(seq: bigint): Event[] {
    const [oldest] = this.#recent;
    if (this.#recent.length === MAX_RECENT && oldest !== undefined && oldest.seq > seq + 1n)
      this.isOutdated = true;
    return this.#recent.filter((event) => event.seq > seq);
  }

  #applyToMembers({ change }: Event): void {
    if (change.case === 'membersJoined' || change.case === 'membersChanged')
      for (const member of change.value.members) this.members.set(member.userId, member);
    if (change.case !== 'memberLeft') return;
    this.members.delete(change.value.userId);
    this.#typing.delete(change.value.userId);
  }

  #applyToChannel({ change, seq }: Event): void {
    if (change.case === 'channelChanged' && seq > this.#channelSeq) this.channel = change.value.channel;
    const { channel } = this;
    if (channel === undefined || seq <= this.#channelSeq) return;
    const { memberCount, messageCount } = channel;
    if (change.case === 'membersJoined')
      this.channel = { ...channel, memberCount: memberCount + change.value.members.length };
    if (change.case === 'memberLeft') this.channel = { ...channel, memberCount: memberCount - 1 };
    if (change.case !== 'messageCreated' || change.value.message?.notice !== undefined) return;
    const { createTime } = change.value.message ?? {};
    const times = createTime === undefined ? {} : { lastMessageTime: createTime, updateTime: createTime };
    this.channel = { ...channel, ...times, messageCount: messageCount + 1 };
  }

  /** `before` is the message before its deletion, if it is known. */
  #applyToMembership({ change, seq }: Event, before: Message | undefined): void {
    if (change.case === 'messageCreated') this.#created(change.value.message, seq);
    if (change.case === 'messageDeleted') this.#messageDeleted(change.value.message, before, seq);
    if (change.case !== 'membersJoined' && change.case !== 'membersChanged') return;
    const own = change.value.members.find(({ userId }) => userId === this.#userId);
    if (own === undefined || this.membership === undefined || seq <= this.#membershipSeq) return;
    const { restrictionExpireTime: _, ...membership } = this.membership;
    const { role, restricted, restrictionExpireTime } = own;
    const restriction = restrictionExpireTime === undefined ? {} : { restrictionExpireTime };
    this.membership = { ...membership, role, restricted, ...restriction };
  }

  #created(message: Message | undefined, seq: bigint): void {
    if (message === undefined) return;
    this.#typing.delete(message.senderId);
    if (message.deleteTime !== undefined) this.#deleted.add(message.id);
    else if (this.#isUnread(message)) this.#changeUnread(seq, 1);
  }

  #messageDeleted(message: Message | undefined, before: Message | undefined, seq: bigint): void {
    if (message === undefined || this.#deleted.has(message.id) || before?.deleteTime !== undefined) return;
    this.#deleted.add(message.id);
    // A deleted notice, which was never unread, looks like a deleted message of a service.
    if (before === undefined && message.type === MessageType.SYSTEM && message.senderId === 0n) return;
    if (this.#isUnread(before ?? message)) this.#changeUnread(seq, -1);
  }

  #isUnread({ id, senderId, notice }: Message): boolean {
    const isOther = senderId !== this.#userId;
    return isOther && notice === undefined && id > (this.membership?.lastReadMessageId ?? 0n);
  }

  #changeUnread(seq: bigint, by: number): void {
    if (this.membership === undefined || seq <= this.#membershipSeq) return;
    this.membership = { ...this.membership, unreadCount: Math.max(0, this.membership.unreadCount + by) };
  }
}
