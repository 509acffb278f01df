import type { PollJson } from '@serp/discuss-client/gen/serp/discuss/v1/message_pb';
import { timestampMs } from '@serp/discuss-client/times';
import type { Chat } from '../chat.ts';
import type { Message } from '../defaults.ts';
import { h } from '../dom.ts';
import { listOf } from '../format.ts';
import { t } from '../i18n.ts';
import { attempt } from './toast.ts';

const RETRY_MS = 3_000;

/** The options of a poll as buttons with their shares. */
export function pollOf(chat: Chat, message: Message, poll: PollJson): HTMLElement {
  if (!chat.votes.has(message.id)) void readVotes(chat, message);
  const own = chat.votes.get(message.id) ?? [];
  const isClosed = hasEnded(poll);
  const { options = [], voterCount = 0, anonymous = false, multiple = false } = poll;
  const end = h(
    'button',
    { type: 'button', class: 'link', on: { click: () => void close(chat, message) } },
    t('closePoll'),
  );
  return h(
    'div',
    { class: 'poll', role: 'group', 'aria-label': message.content },
    ...options.map(({ id = 0, text = '', voteCount = 0, voterUserIds = [] }) => {
      const share = voterCount === 0 ? 0 : Math.round((100 * voteCount) / voterCount);
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
      isClosed ? t('pollClosed') : t('voters', { count: voterCount }),
      anonymous && ` · ${t('anonymous')}`,
      multiple && ` · ${t('multiple')}`,
      !isClosed && message.senderId === chat.user.id && end,
    ),
  );
}

function hasEnded({ manualCloseTime, scheduledCloseTime }: PollJson): boolean {
  if (manualCloseTime !== undefined) return true;
  return scheduledCloseTime !== undefined && timestampMs(scheduledCloseTime) <= Date.now();
}

async function vote(chat: Chat, message: Message, poll: PollJson, optionId: number): Promise<void> {
  const own = chat.votes.get(message.id) ?? [];
  const isChosen = own.includes(optionId);
  const others = poll.multiple ? own.filter((id) => id !== optionId) : [];
  const optionIds = isChosen ? others : [...others, optionId];
  const { channelId, id: messageId } = message;
  if (
    await attempt(() => chat.transport.unary('MessageService/VotePoll', { channelId, messageId, optionIds }))
  ) {
    chat.votes.set(messageId, optionIds);
    chat.changed();
  }
}

async function close(chat: Chat, { channelId, id: messageId }: Message): Promise<void> {
  await attempt(() => chat.transport.unary('MessageService/ClosePoll', { channelId, messageId }));
}

async function readVotes(chat: Chat, { channelId, id: messageId }: Message): Promise<void> {
  chat.votes.set(messageId, []);
  try {
    const request = { channelId, messageId };
    const { ownOptionIds = [] } = await chat.transport.unary('MessageService/GetPoll', request);
    chat.votes.set(messageId, ownOptionIds);
    chat.changed();
  } catch {
    // Shown without the own votes; read again when the message is shown again.
    setTimeout(() => chat.votes.delete(messageId), RETRY_MS);
  }
}
