import type { ChannelState } from '@serp/discuss-client/channel-state';
import { isTemporary } from '@serp/discuss-client/retry';
import type { Chat } from '../chat.ts';
import type { Message } from '../defaults.ts';
import { h } from '../dom.ts';
import { t } from '../i18n.ts';
import { icon } from '../icons.ts';
import { titleOf } from '../people.ts';
import { type Border, messageList } from './message-list.ts';
import { showError } from './toast.ts';
import type { View } from './view.ts';

// Pixels from an end at which more is read, or the end counts as reached.
const NEAR_PX = 600;
const AT_END_PX = 60;
const HIGHLIGHT_MS = 2_500;
const RETRY_MS = 3_000;

export type History = View & { jumpTo(messageId: string): Promise<void>; open(): Promise<void> };

/** The history of a channel in both directions. */
export function historyView(chat: Chat, channelId: string, onEdit: (message: Message) => void): History {
  const state = chat.store.channel(channelId);
  const window = chat.window(channelId);
  const name = titleOf(chat, state.channel);
  const list = messageList({ chat, label: t('history', { name }), isInThread: false, onEdit });
  const beginning = h('p', { class: 'beginning' }, t('beginning', { name }));
  const spinner = h('p', { class: 'spinner' }, t('loading'));
  const toNewest = h(
    'button',
    {
      type: 'button',
      class: 'to-newest',
      'aria-label': t('toNewest'),
      on: { click: () => void openNewest() },
    },
    icon('down'),
  );
  const scroller = h(
    'div',
    { class: 'scroller', on: { scroll: onScroll } },
    spinner,
    beginning,
    list.element,
  );
  const element = h('div', { class: 'history' }, scroller, toNewest);
  // The border of what was read stays where it was when the channel was opened.
  let lastReadId = borderOf(state);
  let followsEnd = true;
  // Until its first message is known, nothing is shown, and nothing counts as read.
  let isOpening = false;
  // After an error, until the next attempt.
  let isPaused = false;

  function update(): void {
    lastReadId ??= borderOf(state);
    const messages = isOpening ? [] : window.messages;
    const anchor = followsEnd ? undefined : firstVisible();
    const top = anchor?.getBoundingClientRect().top ?? 0;
    beginning.hidden = window.hasOlder;
    spinner.hidden = !(window.isLoading && messages.length === 0);
    list.show(messages, window.hasNewer ? [] : chat.pending(channelId), border());
    if (followsEnd && !window.hasNewer) scroller.scrollTop = scroller.scrollHeight;
    else if (anchor?.isConnected) scroller.scrollTop += anchor.getBoundingClientRect().top - top;
    onScroll();
  }

  function border(): Border | undefined {
    if (lastReadId === undefined) return undefined;
    return { lastReadId, isAtBeginning: !window.hasOlder, isEntry: !followsEnd };
  }

  function firstVisible(): HTMLElement | undefined {
    const { top } = scroller.getBoundingClientRect();
    return [...list.element.querySelectorAll('article')].find(
      (child) => child.getBoundingClientRect().bottom > top,
    );
  }

  function onScroll(): void {
    if (isOpening) return;
    const { scrollTop, scrollHeight, clientHeight } = scroller;
    const below = scrollHeight - clientHeight - scrollTop;
    followsEnd = below < AT_END_PX && !window.hasNewer;
    toNewest.hidden = below < clientHeight && !window.hasNewer;
    if (isPaused) return;
    if (!window.isOpen) return void open();
    if (scrollTop < NEAR_PX && window.hasOlder) void load(() => window.loadOlder());
    if (below < NEAR_PX && window.hasNewer) void load(() => window.loadNewer());
    if (followsEnd) markRead();
  }

  function markRead(): void {
    const newest = window.messages.at(-1);
    if (newest === undefined || document.visibilityState !== 'visible') return;
    if (chat.connection === 'open') void chat.markRead(channelId, newest.id);
  }

  async function load(work: () => Promise<void>): Promise<void> {
    if (window.isLoading) return;
    try {
      await work();
    } catch (error) {
      // The banner shows that there is no connection.
      if (!isTemporary(error)) showError(error);
      isPaused = true;
      setTimeout(() => {
        isPaused = false;
        if (element.isConnected) update();
      }, RETRY_MS);
    }
    if (element.isConnected) update();
  }

  /** Begins at the first unread message, or else at the newest one. */
  async function open(): Promise<void> {
    const start = lastReadId;
    if (start === undefined) return openNewest();
    await load(async () => {
      isOpening = true;
      try {
        await window.openNewest();
        await window.openAround(start);
      } finally {
        isOpening = false;
        followsEnd = false;
      }
    });
    if (window.isOpen && !list.scrollToBorder()) await openNewest();
  }

  async function openNewest(): Promise<void> {
    followsEnd = true;
    await load(() => window.openNewest());
  }

  async function jumpTo(messageId: string): Promise<void> {
    followsEnd = false;
    await load(() => window.openAround(messageId));
    const target = list.elementOf(messageId);
    target?.scrollIntoView({ block: 'center' });
    target?.focus({ preventScroll: true });
    target?.classList.add('highlight');
    setTimeout(() => target?.classList.remove('highlight'), HIGHLIGHT_MS);
  }

  return { element, update, jumpTo, open };
}

function borderOf({ membership }: ChannelState): string | undefined {
  return membership?.unreadCount ? (membership.lastReadMessageId ?? '0') : undefined;
}
