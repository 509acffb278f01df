import type { Chat } from '../chat.ts';
import type { Message } from '../defaults.ts';
import { h } from '../dom.ts';
import { fullTimeOf, timeOf } from '../format.ts';
import { currentLanguage, t } from '../i18n.ts';
import { icon } from '../icons.ts';
import { avatar } from '../people.ts';
import { addressOf } from '../route.ts';
import { attachmentsOf } from './attachments.ts';
import { contentOf } from './content.ts';
import { noticeOf } from './notice.ts';
import { pollOf } from './poll.ts';
import { reactionsOf } from './reactions.ts';

export type MessageContext = {
  readonly chat: Chat;
  /** True if the message before is of the same sender, and not much older. */
  readonly isContinued: boolean;
  /** True in the panel of a thread. */
  readonly isInThread: boolean;
};

/** Changes when the message has to be shown again. */
export function signatureOf(message: Message, { chat, isContinued }: MessageContext): string {
  const { content, editTime, deleteTime, replyCount, pinTime, reactions, poll, attachments } = message;
  const parts = [
    content,
    editTime,
    deleteTime,
    pinTime,
    replyCount,
    ...reactions.map(({ emoji, count, userIds }) => [emoji, count, userIds]),
    poll?.options?.map(({ voteCount }) => voteCount),
    poll?.manualCloseTime,
    chat.votes.get(message.id),
    ...attachments.map(({ id, scanStatus, hasThumbnail }) => [id, scanStatus, hasThumbnail]),
    isContinued,
    currentLanguage(),
  ];
  return parts.flat(3).join('\u0000');
}

export function messageElement(message: Message, context: MessageContext): HTMLElement {
  const { chat, isContinued } = context;
  const { id, senderId, notice, createTime } = message;
  if (notice !== undefined) return h('div', { class: 'notice', 'data-id': id }, noticeOf(chat, message));
  const sender = chat.nameOf(senderId);
  const time = h('time', { title: fullTimeOf(createTime) }, timeOf(createTime));
  const classes = ['message', isContinued && 'continued', senderId === chat.user.id && 'own'];
  const attributes = {
    class: classes.filter((name) => name !== false).join(' '),
    'data-id': id,
    tabindex: -1,
    'aria-label': `${sender}, ${timeOf(createTime)}`,
  };
  return h(
    'article',
    attributes,
    isContinued ? time : avatar(sender, senderId),
    h(
      'div',
      { class: 'body' },
      !isContinued && h('header', {}, h('strong', { dir: 'auto' }, sender), time),
      message.pinTime !== undefined && h('p', { class: 'marker' }, icon('pin'), t('pinned')),
      ...bodyOf(message, context),
    ),
  );
}

function bodyOf(message: Message, { chat, isInThread }: MessageContext): (Node | false)[] {
  if (message.deleteTime !== undefined)
    return [h('p', { class: 'deleted' }, t('deleted')), threadLink(message, isInThread)];
  const { channelId, rootMessageId } = message;
  const isReply = rootMessageId !== '0' && !isInThread;
  const href = addressOf({ channelId, threadId: rootMessageId });
  return [
    isReply && h('a', { class: 'marker', href }, icon('thread'), t('replied')),
    message.content !== '' && textOf(chat, message),
    ...(message.poll === undefined ? [] : [pollOf(chat, message, message.poll)]),
    ...attachmentsOf(chat, message),
    message.reactions.length > 0 && reactionsOf(chat, message),
    threadLink(message, isInThread),
  ];
}

function textOf(chat: Chat, message: Message): HTMLElement {
  const edited =
    message.editTime !== undefined &&
    h('small', { title: fullTimeOf(message.editTime) }, ` (${t('edited')})`);
  const tag = message.type === 'MESSAGE_TYPE_CODE' ? 'pre' : 'p';
  // Its own direction, so that text of another one, and marks in it, do not affect what surrounds it.
  return h(tag, { class: 'text', dir: 'auto' }, ...contentOf(chat, message), edited);
}

function threadLink({ id, channelId, replyCount }: Message, isInThread: boolean): HTMLElement | false {
  if (replyCount === 0 || isInThread) return false;
  const text = replyCount === 1 ? t('oneReply') : t('replies', { count: replyCount });
  return h('a', { class: 'replies', href: addressOf({ channelId, threadId: id }) }, icon('thread'), text);
}
