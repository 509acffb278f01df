import type { ChannelJson } from '@serp/discuss-client/gen/serp/discuss/v1/channel_pb';
import type { Chat } from './chat.ts';
import { h } from './dom.ts';
import { initialsOf } from './format.ts';
import { t } from './i18n.ts';
import { icon } from './icons.ts';

// Others come from a newer server and are not shown.
const STATUSES: ReadonlyMap<string, 'online' | 'away' | 'busy' | 'offline'> = new Map([
  ['PRESENCE_STATUS_ONLINE', 'online'],
  ['PRESENCE_STATUS_AWAY', 'away'],
  ['PRESENCE_STATUS_BUSY', 'busy'],
  ['PRESENCE_STATUS_OFFLINE', 'offline'],
]);

/** The name of a channel as its user sees it. */
export function titleOf(chat: Chat, channel: ChannelJson | undefined): string {
  if (channel === undefined) return t('loading');
  if (channel.type !== 'CHANNEL_TYPE_DIRECT') return channel.name ?? '';
  const other = otherUser(chat, channel);
  return other === undefined ? t('notes') : chat.nameOf(other);
}

/** The other user of a direct channel. */
export function otherUser(chat: Chat, channel: ChannelJson | undefined): string | undefined {
  return channel?.directUserIds?.find((userId) => userId !== chat.user.id);
}

export function statusOf(chat: Chat, userId: string): 'online' | 'away' | 'busy' | 'offline' | undefined {
  return STATUSES.get(chat.store.presence.get(userId)?.status ?? '');
}

export function avatar(name: string, userId: string, status?: string): HTMLElement {
  const element = h(
    'span',
    { class: userId === '0' ? 'avatar square' : 'avatar', 'aria-hidden': 'true' },
    userId === '0' ? icon('order') : initialsOf(name),
  );
  element.style.setProperty('--hue', `${(BigInt(userId) * 67n) % 360n}`);
  if (status !== undefined) element.append(h('span', { class: `presence ${status}` }));
  return element;
}

export function channelAvatar(chat: Chat, channel: ChannelJson | undefined): HTMLElement {
  const other = otherUser(chat, channel);
  if (channel?.type === 'CHANNEL_TYPE_DIRECT') {
    const userId = other ?? chat.user.id;
    return avatar(chat.nameOf(userId), userId, statusOf(chat, userId));
  }
  const name = channel?.type === 'CHANNEL_TYPE_TOPIC' ? 'order' : 'group';
  return h('span', { class: `avatar square ${name}`, 'aria-hidden': 'true' }, icon(name));
}
