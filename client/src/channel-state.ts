import type { ChannelJson } from '../gen/serp/discuss/v1/channel_pb.d.ts';
import type { EventJson } from '../gen/serp/discuss/v1/event_pb.d.ts';
import type { ReadMarkerMovedJson } from '../gen/serp/discuss/v1/event_service_pb.d.ts';
import type { MemberJson, MembershipJson } from '../gen/serp/discuss/v1/member_pb.d.ts';
import type { MessageJson } from '../gen/serp/discuss/v1/message_pb.d.ts';
import type { TypingChangedJson } from '../gen/serp/discuss/v1/presence_pb.d.ts';
import { compareInt64, nextInt64 } from './int64.ts';
import { MessageLog } from './message-log.ts';
import { timestampMs } from './times.ts';

// Events can arrive before the response of a read that does not include them: they are applied to it again.
const MAX_RECENT = 500;

/** What one user knows about a channel. */
export class ChannelState {
  readonly id: string;
  /** Unset until it is loaded. */
  channel: ChannelJson | undefined;
  /** The user's own state, with `unreadCount`; unset until the stream has started, or it is loaded. */
  membership: MembershipJson | undefined;
  readonly members = new Map<string, MemberJson>();
  log = new MessageLog();
  /** `seq` of the last event; undefined before the first one. */
  seq: string | undefined;
  /** True if events were lost: the channel must be read again. */
  isOutdated = false;
  /** By user who is typing: when the indicator ends, in milliseconds since the epoch. */
  readonly #typing = new Map<string, number>();
  readonly #userId: string;
  // Events up to these are included in `channel` and `membership`.
  #channelSeq = '0';
  #membershipSeq = '0';
  // `version` of these parts of `membership`.
  #markerVersion = 0;
  #settingsVersion = 0;
  #recent: EventJson[] = [];
  // A replayed deletion arrives more than once.
  readonly #deleted = new Set<string>();

  constructor(id: string, userId: string) {
    this.id = id;
    this.#userId = userId;
  }

  load(channel: ChannelJson, headSeq = '0', membership?: MembershipJson): void {
    this.seq ??= headSeq;
    const isCurrent = membership !== undefined && this.#isCurrent(membership);
    this.isOutdated = false;
    this.channel = channel;
    this.#channelSeq = headSeq;
    for (const event of this.#after(headSeq)) this.#applyToChannel(event);
    if (!isCurrent) return;
    this.#restart(headSeq, membership);
    for (const event of this.#after(headSeq)) this.#applyToMembership(event, undefined);
  }

  loadMembers(members: readonly MemberJson[], headSeq = '0'): void {
    this.#putMembers(members);
    for (const event of this.#after(headSeq)) this.#applyToMembers(event);
  }

  loadMessages(messages: readonly MessageJson[], headSeq = '0'): void {
    this.log.load(messages, headSeq);
    for (const event of this.#after(headSeq)) this.log.apply(event);
  }

  open(startSeq = '0', headSeq = '0', membership?: MembershipJson): void {
    if (this.seq !== undefined && this.seq !== startSeq) this.isOutdated = true;
    this.seq = startSeq;
    if (membership !== undefined && this.#isCurrent(membership)) this.#restart(headSeq, membership);
  }

  reset(headSeq = '0'): void {
    this.seq = headSeq;
    this.isOutdated = true;
    this.log = new MessageLog();
    this.members.clear();
    this.#recent = [];
  }

  apply(event: EventJson): void {
    const { seq = '0' } = event;
    // Another tab can pass on an event that this one has already read.
    if (this.seq !== undefined && compareInt64(seq, this.seq) <= 0) return;
    if (this.seq !== undefined && seq !== nextInt64(this.seq)) this.isOutdated = true;
    this.seq = seq;
    this.#recent.push(event);
    if (this.#recent.length > MAX_RECENT) this.#recent.shift();
    const before = this.log.messages.get(event.messageDeleted?.message?.id ?? '0');
    this.log.apply(event);
    this.#applyToMembers(event);
    this.#applyToChannel(event);
    this.#applyToMembership(event, before);
  }

  moveMarker({ lastReadMessageId = '0', unreadCount = 0, version = 0 }: ReadMarkerMovedJson): void {
    if (this.membership === undefined || isOlder(version, this.#markerVersion)) return;
    this.#markerVersion = version;
    const newest = Math.max(version, this.membership.version ?? 0);
    this.membership = { ...this.membership, lastReadMessageId, unreadCount, version: newest };
  }

  /** The count follows from the events, which can arrive before or after the changed settings. */
  changeMembership(membership: MembershipJson): void {
    const { version = 0 } = membership;
    if (isOlder(version, this.#settingsVersion)) return;
    this.#settingsVersion = version;
    const { lastReadMessageId = '0', unreadCount = 0, version: known = 0 } = this.membership ?? membership;
    this.membership = { ...membership, lastReadMessageId, unreadCount, version: Math.max(version, known) };
  }

  type({ userId = '0', expireTime }: TypingChangedJson): void {
    if (expireTime === undefined) this.#typing.delete(userId);
    else this.#typing.set(userId, timestampMs(expireTime));
  }

  /** Users who are typing at this time, in milliseconds since the epoch. */
  typingUsers(now: number): string[] {
    return [...this.#typing].filter(([, end]) => end > now).map(([userId]) => userId);
  }

  /**
   * False if it was read before a change that the stream has reported; then what is known includes all events since, unless
   * some were lost.
   */
  #isCurrent({ version = 0 }: MembershipJson): boolean {
    return this.isOutdated || !isOlder(version, this.membership?.version ?? 0);
  }

  #restart(headSeq: string, membership: MembershipJson): void {
    this.membership = membership;
    this.#markerVersion = this.#settingsVersion = membership.version ?? 0;
    this.#membershipSeq = headSeq;
    this.#deleted.clear();
  }

  #after(headSeq: string): EventJson[] {
    const [oldest] = this.#recent;
    if (this.#recent.length === MAX_RECENT && compareInt64(oldest?.seq, nextInt64(headSeq)) > 0)
      this.isOutdated = true;
    return this.#recent.filter(({ seq }) => compareInt64(seq, headSeq) > 0);
  }

  #putMembers(members: readonly MemberJson[]): void {
    for (const member of members) this.members.set(member.userId ?? '0', member);
  }

  #applyToMembers({ membersJoined, membersChanged, memberLeft }: EventJson): void {
    this.#putMembers((membersJoined ?? membersChanged)?.members ?? []);
    if (memberLeft === undefined) return;
    const { userId = '0' } = memberLeft;
    this.members.delete(userId);
    this.#typing.delete(userId);
  }

  #applyToChannel({ channelChanged, membersJoined, memberLeft, messageCreated, seq }: EventJson): void {
    if (compareInt64(seq, this.#channelSeq) <= 0) return;
    if (channelChanged !== undefined) this.channel = channelChanged.channel;
    const { channel } = this;
    if (channel === undefined) return;
    const { memberCount = 0, messageCount = 0 } = channel;
    if (membersJoined !== undefined)
      this.channel = { ...channel, memberCount: memberCount + (membersJoined.members?.length ?? 0) };
    if (memberLeft !== undefined) this.channel = { ...channel, memberCount: memberCount - 1 };
    if (messageCreated === undefined || messageCreated.message?.notice !== undefined) return;
    const { createTime } = messageCreated.message ?? {};
    const times = createTime === undefined ? {} : { lastMessageTime: createTime, updateTime: createTime };
    this.channel = { ...channel, ...times, messageCount: messageCount + 1 };
  }

  /** `before` is the message before its deletion, if it is known. */
  #applyToMembership(event: EventJson, before: MessageJson | undefined): void {
    const { messageCreated, messageDeleted, membersJoined, membersChanged, seq = '0' } = event;
    if (messageCreated !== undefined) this.#created(messageCreated.message, seq);
    if (messageDeleted !== undefined) this.#messageDeleted(messageDeleted.message, before, seq);
    const own = (membersJoined ?? membersChanged)?.members?.find(({ userId }) => userId === this.#userId);
    if (own === undefined || this.membership === undefined || compareInt64(seq, this.#membershipSeq) <= 0)
      return;
    const { restrictionExpireTime: _, ...membership } = this.membership;
    const { role = 'MEMBER_ROLE_UNSPECIFIED', restricted = false, restrictionExpireTime } = own;
    const restriction = restrictionExpireTime === undefined ? {} : { restrictionExpireTime };
    this.membership = { ...membership, role, restricted, ...restriction };
  }

  #created(message: MessageJson | undefined, seq: string): void {
    if (message === undefined) return;
    this.#typing.delete(message.senderId ?? '0');
    if (message.deleteTime !== undefined) this.#deleted.add(message.id ?? '0');
    else if (this.#isUnread(message)) this.#changeUnread(seq, 1);
  }

  #messageDeleted(message: MessageJson | undefined, before: MessageJson | undefined, seq: string): void {
    const id = message?.id ?? '0';
    if (message === undefined || this.#deleted.has(id) || before?.deleteTime !== undefined) return;
    this.#deleted.add(id);
    // A deleted notice, which was never unread, looks like a deleted message of a service.
    const isOfService = message.type === 'MESSAGE_TYPE_SYSTEM' && (message.senderId ?? '0') === '0';
    if (before === undefined && isOfService) return;
    if (this.#isUnread(before ?? message)) this.#changeUnread(seq, -1);
  }

  #isUnread({ id, senderId = '0', notice }: MessageJson): boolean {
    const isOther = senderId !== this.#userId;
    return isOther && notice === undefined && compareInt64(id, this.membership?.lastReadMessageId) > 0;
  }

  #changeUnread(seq: string, by: number): void {
    if (this.membership === undefined || compareInt64(seq, this.#membershipSeq) <= 0) return;
    const unreadCount = Math.max(0, (this.membership.unreadCount ?? 0) + by);
    this.membership = { ...this.membership, unreadCount };
  }
}

/** Servers of earlier versions send no version. */
function isOlder(version: number, known: number): boolean {
  return version !== 0 && version < known;
}
