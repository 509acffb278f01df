import type { Chat } from '../chat.ts';
import type { Message } from '../defaults.ts';
import { h } from '../dom.ts';
import { listOf } from '../format.ts';
import { t } from '../i18n.ts';
import { attempt } from './toast.ts';

export const QUICK = ['👍', '❤️', '😂', '🎉', '👀', '✅'];

export function reactionsOf(chat: Chat, message: Message): HTMLElement {
  return h(
    'div',
    { class: 'reactions' },
    ...message.reactions.map(({ emoji = '', userIds = [], count = 0 }) => {
      const names = t('reactions', { emoji, names: listOf(userIds.map((userId) => chat.nameOf(userId))) });
      const attributes = {
        type: 'button',
        'aria-pressed': `${userIds.includes(chat.user.id)}`,
        'aria-label': `${names} (${count})`,
        title: names,
        on: { click: () => void toggleReaction(chat, message, emoji) },
      };
      return h('button', attributes, h('span', { class: 'emoji' }, emoji), `${count}`);
    }),
  );
}

export async function toggleReaction(chat: Chat, message: Message, emoji: string): Promise<void> {
  const { channelId, id: messageId } = message;
  const given = message.reactions.find((reaction) => reaction.emoji === emoji);
  const isOwn = given?.userIds?.includes(chat.user.id);
  const call = isOwn ? 'MessageService/RemoveReaction' : 'MessageService/AddReaction';
  await attempt(() => chat.transport.unary(call, { channelId, messageId, emoji }));
}
