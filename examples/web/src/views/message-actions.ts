import type { Chat } from '../chat.ts';
import type { Message } from '../defaults.ts';
import { fill, h } from '../dom.ts';
import { t } from '../i18n.ts';
import { type IconName, icon } from '../icons.ts';
import { go } from '../route.ts';
import { openDialog } from './dialog.ts';
import { QUICK, toggleReaction } from './reactions.ts';
import { attempt } from './toast.ts';

export type Actions = {
  /** Follows the pointer and the focus within a list of messages. */
  readonly element: HTMLElement;
  show(message: Message, beside: Element): void;
  hide(): void;
};

/** One toolbar for all messages of a list, shown at the message that is pointed at or has the focus. */
export function messageActions(chat: Chat, isInThread: boolean, onEdit: (message: Message) => void): Actions {
  const element = h('div', { class: 'actions', role: 'toolbar', 'aria-label': t('actions') });
  let shownId: string | undefined;

  function button(name: IconName, label: string, click: () => void): HTMLElement {
    return h('button', { type: 'button', 'aria-label': label, title: label, on: { click } }, icon(name));
  }

  function show(message: Message, beside: Element): void {
    if (shownId === message.id && element.parentElement === beside) return;
    shownId = message.id;
    const isOwn = message.senderId === chat.user.id;
    const { channelId, id, rootMessageId } = message;
    const threadId = rootMessageId === '0' ? id : rootMessageId;
    fill(element, [
      ...QUICK.map((emoji) =>
        h(
          'button',
          {
            type: 'button',
            class: 'emoji',
            'aria-label': t('reactWith', { emoji }),
            on: { click: () => void toggleReaction(chat, message, emoji) },
          },
          emoji,
        ),
      ),
      !isInThread && button('thread', t('replyInThread'), () => go({ channelId, threadId })),
      button(
        'pin',
        message.pinTime === undefined ? t('pin') : t('unpin'),
        () => void togglePin(chat, message),
      ),
      isOwn && message.poll === undefined && button('edit', t('edit'), () => onEdit(message)),
      isOwn && button('remove', t('remove'), () => void confirmDeletion(chat, message)),
    ]);
    beside.append(element);
  }

  function hide(): void {
    shownId = undefined;
    element.remove();
  }

  return { element, show, hide };
}

export async function confirmDeletion(
  chat: Chat,
  { channelId, id: messageId, content }: Message,
): Promise<void> {
  const isConfirmed = await openDialog({
    title: t('removeQuestion'),
    content: [h('blockquote', { dir: 'auto' }, content), h('p', { class: 'hint' }, t('removeHint'))],
    confirm: t('remove'),
    danger: true,
  });
  if (isConfirmed)
    await attempt(() => chat.transport.unary('MessageService/DeleteMessage', { channelId, messageId }));
}

async function togglePin(chat: Chat, { channelId, id: messageId, pinTime }: Message): Promise<void> {
  const call = pinTime === undefined ? 'MessageService/PinMessage' : 'MessageService/UnpinMessage';
  await attempt(() => chat.transport.unary(call, { channelId, messageId }));
}
