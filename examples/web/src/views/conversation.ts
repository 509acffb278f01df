import type { Chat } from '../chat.ts';
import type { Message } from '../defaults.ts';
import { fill, h } from '../dom.ts';
import { t } from '../i18n.ts';
import { icon } from '../icons.ts';
import { channelAvatar, otherUser, statusOf, titleOf } from '../people.ts';
import { type Composer, composer } from './composer.ts';
import { type History, historyView } from './history.ts';
import { isEditable } from './thread.ts';
import { typingView } from './typing.ts';
import type { View } from './view.ts';

export type Conversation = View & { readonly history: History; readonly writer: Composer };

/** A channel: its header, its history and the field to write in. */
export function conversationView(chat: Chat, channelId: string, onSearch: () => void): Conversation {
  const state = chat.store.channel(channelId);
  const placeholder = t('writeTo', { name: titleOf(chat, state.channel) });
  const writer = composer({ chat, channelId, rootId: '0', placeholder, lastOwn });
  const history = historyView(chat, channelId, writer.edit);
  const typing = typingView(chat, channelId);
  const heading = h('div', { class: 'heading' });
  const header = h(
    'header',
    {},
    h('a', { class: 'round back', href: '#/', 'aria-label': t('back') }, icon('back')),
    heading,
    h(
      'button',
      {
        type: 'button',
        class: 'round',
        'aria-label': t('search'),
        title: `${t('search')} (Ctrl+K)`,
        on: { click: onSearch },
      },
      icon('search'),
    ),
  );
  const drop = h('div', { class: 'drop', 'aria-hidden': 'true' }, t('dropHere'));
  const element = h(
    'section',
    { class: 'conversation' },
    header,
    history.element,
    typing.element,
    writer.element,
    drop,
  );
  acceptDrops(element, writer.addFiles);
  let shown = '';

  function lastOwn(): Message | undefined {
    return chat.window(channelId).messages.findLast((message) => isEditable(chat, message));
  }

  function update(): void {
    const title = titleOf(chat, state.channel);
    const other = otherUser(chat, state.channel);
    const status = other === undefined ? undefined : statusOf(chat, other);
    const details = [status && t(status), memberCount(), state.channel?.description].filter((part) => part);
    const text = [title, ...details].join('\u0000');
    if (text !== shown)
      fill(heading, [
        channelAvatar(chat, state.channel),
        h('h1', { dir: 'auto' }, title, h('small', { dir: 'auto' }, details.join(' · '))),
      ]);
    shown = text;
    history.update();
    typing.update();
    writer.update();
  }

  function memberCount(): string | undefined {
    const { channel } = state;
    if (channel === undefined || channel.type === 'CHANNEL_TYPE_DIRECT') return undefined;
    return t('members', { count: channel.memberCount ?? 0 });
  }

  function close(): void {
    writer.close();
    typing.close?.();
  }

  return { element, update, close, history, writer };
}

function acceptDrops(element: HTMLElement, onFiles: (files: Iterable<File>) => void): void {
  const isFile = ({ dataTransfer }: DragEvent) => dataTransfer?.types.includes('Files') ?? false;
  element.addEventListener('dragover', (event) => {
    if (!isFile(event)) return;
    event.preventDefault();
    element.classList.add('dropping');
  });
  for (const name of ['dragleave', 'drop'] as const)
    element.addEventListener(name, () => element.classList.remove('dropping'));
  element.addEventListener('drop', (event) => {
    event.preventDefault();
    onFiles(event.dataTransfer?.files ?? []);
  });
}
