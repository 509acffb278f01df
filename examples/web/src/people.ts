import type { Channel } from '@serp/discuss-client/gen/serp/discuss/v1/channel_pb';
import { ChannelType } from '@serp/discuss-client/gen/serp/discuss/v1/channel_pb';
import { PresenceStatus } from '@serp/discuss-client/gen/serp/discuss/v1/presence_pb';
import type { Chat } from './chat.ts';
import { h } from './dom.ts';
import { initialsOf } from './format.ts';
import { t } from './i18n.ts';
import { icon } from './icons.ts';

const STATUSES: ReadonlyMap<number, 'online' | 'away' | 'busy' | 'offline'> = new Map([
  [PresenceStatus.ONLINE, 'online'],
  [PresenceStatus.AWAY, 'away'],
  [PresenceStatus.BUSY, 'busy'],
  [PresenceStatus.OFFLINE, 'offline'],
]);

/** The name of a channel as its user sees it. */
export function titleOf(chat: Chat, channel: Channel | undefined): string {
  if (channel === undefined) return t('loading');
  if (channel.type !== ChannelType.DIRECT) return channel.name;
  const other = otherUser(chat, channel);
  return other === undefined ? t('notes') : chat.nameOf(other);
}

/** The other user of a direct channel. */
export function otherUser(chat: Chat, channel: Channel | undefined): bigint | undefined {
  return channel?.directUserIds.find((userId) => userId !== chat.user.id);
}

export function statusOf(chat: Chat, userId: bigint): 'online' | 'away' | 'busy' | 'offline' | undefined {
  return STATUSES.get(chat.store.presence.get(userId)?.status ?? PresenceStatus.UNKNOWN);
}

export function avatar(name: string, userId: bigint, status?: string): HTMLElement {
  const element = h(
    'span',
    { class: userId === 0n ? 'avatar square' : 'avatar', 'aria-hidden': 'true' },
    userId === 0n ? icon('order') : initialsOf(name),
  );
  element.style.setProperty('--hue', `${Number((userId * 67n) % 360n)}`);
  if (status !== undefined) element.append(h('span', { class: `presence ${status}` }));
  return element;
}

export function channelAvatar(chat: Chat, channel: Channel | undefined): HTMLElement {
  const other = otherUser(chat, channel);
  if (channel?.type === ChannelType.DIRECT) {
    const userId = other ?? chat.user.id;
    return avatar(chat.nameOf(userId), userId, statusOf(chat, userId));
  }
  const name = channel?.type === ChannelType.TOPIC ? 'order' : 'group';
  return h('span', { class: `avatar square ${name}`, 'aria-hidden': 'true' }, icon(name));
}
