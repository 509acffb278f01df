import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { Message, Poll } from '@serp/discuss-client/gen/serp/discuss/v1/message_pb';
import type { Chat } from '../chat.ts';
import { h } from '../dom.ts';
import { listOf } from '../format.ts';
import { t } from '../i18n.ts';
import { attempt } from './toast.ts';

const RETRY_MS = 3_000;

/** The options of a poll as buttons with their shares. */
export function pollOf(chat: Chat, message: Message, poll: Poll): HTMLElement {
  if (!chat.votes.has(message.id)) void readVotes(chat, message);
  const own = chat.votes.get(message.id) ?? [];
  const isClosed = hasEnded(poll);
  const end = h(
    'button',
    { type: 'button', class: 'link', on: { click: () => void close(chat, message) } },
    t('closePoll'),
  );
  return h(
    'div',
    { class: 'poll', role: 'group', 'aria-label': message.content },
    ...poll.options.map(({ id, text, voteCount, voterUserIds }) => {
      const share = poll.voterCount === 0 ? 0 : Math.round((100 * voteCount) / poll.voterCount);
      const attributes = {
        type: 'button',
        disabled: isClosed,
        'aria-pressed': `${own.includes(id)}`,
        title: listOf(voterUserIds.map((userId) => chat.nameOf(userId))),
        on: { click: () => void vote(chat, message, poll, id) },
      };
      const bar = h('span', { class: 'bar' });
      bar.style.setProperty('--share', `${share}%`);
      const label = h('span', { class: 'label', dir: 'auto' }, text);
      return h('button', attributes, bar, label, h('span', { class: 'count' }, `${voteCount} · ${share} %`));
    }),
    h(
      'p',
      { class: 'summary' },
      isClosed ? t('pollClosed') : t('voters', { count: poll.voterCount }),
      poll.anonymous && ` · ${t('anonymous')}`,
      poll.multiple && ` · ${t('multiple')}`,
      !isClosed && message.senderId === chat.user.id && end,
    ),
  );
}

function hasEnded({ manualCloseTime, scheduledCloseTime }: Poll): boolean {
  if (manualCloseTime !== undefined) return true;
  return scheduledCloseTime !== undefined && timestampMs(scheduledCloseTime) <= Date.now();
}

async function vote(chat: Chat, message: Message, poll: Poll, optionId: number): Promise<void> {
  const own = chat.votes.get(message.id) ?? [];
  const isChosen = own.includes(optionId);
  const others = poll.multiple ? own.filter((id) => id !== optionId) : [];
  const optionIds = isChosen ? others : [...others, optionId];
  const { channelId, id: messageId } = message;
  if (await attempt(() => chat.messages.votePoll({ channelId, messageId, optionIds }))) {
    chat.votes.set(messageId, optionIds);
    chat.changed();
  }
}

async function close(chat: Chat, { channelId, id: messageId }: Message): Promise<void> {
  await attempt(() => chat.messages.closePoll({ channelId, messageId }));
}

async function readVotes(chat: Chat, { channelId, id: messageId }: Message): Promise<void> {
  chat.votes.set(messageId, []);
  try {
    const { ownOptionIds } = await chat.messages.getPoll({ channelId, messageId });
    chat.votes.set(messageId, ownOptionIds);
    chat.changed();
  } catch {
    // Shown without the own votes; read again when the message is shown again.
    setTimeout(() => chat.votes.delete(messageId), RETRY_MS);
  }
}
