import { isTemporary } from '@serp/discuss-client/retry';
import type { Chat } from '../chat.ts';
import { type Message, withDefaults } from '../defaults.ts';
import { h } from '../dom.ts';
import { byPosition } from '../history-window.ts';
import { t } from '../i18n.ts';
import { icon } from '../icons.ts';
import { titleOf } from '../people.ts';
import { addressOf } from '../route.ts';
import { composer } from './composer.ts';
import { messageList } from './message-list.ts';
import { showError } from './toast.ts';
import type { View } from './view.ts';

const AT_END_PX = 60;

/** A message and its replies, beside the conversation. */
export function threadView(chat: Chat, channelId: string, rootId: string): View & { focus(): void } {
  const state = chat.store.channel(channelId);
  const writer = composer({ chat, channelId, rootId, placeholder: t('writeReply'), lastOwn });
  const list = messageList({ chat, label: t('thread'), isInThread: true, onEdit: writer.edit });
  const scroller = h('div', { class: 'scroller' }, list.element);
  const close = h(
    'a',
    { class: 'round', href: addressOf({ channelId }), 'aria-label': t('close'), title: t('close') },
    icon('close'),
  );
  const heading = h('h2', {}, t('thread'), h('small', { dir: 'auto' }, titleOf(chat, state.channel)));
  const element = h(
    'aside',
    { class: 'panel', 'aria-label': t('thread') },
    h('header', {}, heading, close),
    scroller,
    writer.element,
  );
  element.addEventListener('keydown', ({ key, defaultPrevented }) => {
    if (key === 'Escape' && !defaultPrevented) close.click();
  });
  void load();

  async function load(): Promise<void> {
    try {
      for (let pageToken = ''; ; ) {
        const request = { channelId, rootMessageId: rootId, pageToken };
        const page = await chat.transport.unary('MessageService/ListThread', request);
        const { root, replies = [], headSeq, nextPageToken } = page;
        chat.store.loadMessages(channelId, root === undefined ? replies : [root, ...replies], headSeq);
        if (nextPageToken === undefined) break;
        pageToken = nextPageToken;
      }
      if (messages().length > 1)
        await chat.transport.unary('MessageService/MarkThreadRead', {
          channelId,
          rootMessageId: rootId,
          all: true,
        });
    } catch (error) {
      if (!isTemporary(error)) showError(error);
    }
  }

  function messages(): Message[] {
    return [...state.log.messages.values()]
      .map(withDefaults)
      .filter(({ id, rootMessageId }) => id === rootId || rootMessageId === rootId)
      .sort(byPosition);
  }

  function lastOwn(): Message | undefined {
    return messages().findLast((message) => isEditable(chat, message));
  }

  function update(): void {
    const isAtEnd = scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop < AT_END_PX;
    list.show(messages(), chat.pending(channelId, rootId));
    writer.update();
    if (isAtEnd) scroller.scrollTop = scroller.scrollHeight;
  }

  return { element, update, close: writer.close, focus: writer.focus };
}

export function isEditable(chat: Chat, { senderId, deleteTime, poll, notice }: Message): boolean {
  return senderId === chat.user.id && deleteTime === undefined && poll === undefined && notice === undefined;
}
