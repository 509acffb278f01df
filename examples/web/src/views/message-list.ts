import { compareInt64 } from '@serp/discuss-client/int64';
import { timestampMs } from '@serp/discuss-client/times';
import type { Chat, Pending } from '../chat.ts';
import type { Message } from '../defaults.ts';
import { ElementCache, h, reconcile } from '../dom.ts';
import { dayKey, dayOf } from '../format.ts';
import { currentLanguage, t } from '../i18n.ts';
import { messageElement, signatureOf } from './message.ts';
import { messageActions } from './message-actions.ts';
import { pendingElement } from './pending.ts';

const CONTINUED_MS = 5 * 60_000;

export type MessageListOptions = {
  readonly chat: Chat;
  readonly label: string;
  readonly isInThread: boolean;
  readonly onEdit: (message: Message) => void;
};

export type MessageList = {
  readonly element: HTMLElement;
  show(messages: readonly Message[], pending: readonly Pending[], border?: Border): void;
  /** Scrolls to the border of what was read; false if there is none. */
  scrollToBorder(): boolean;
  elementOf(messageId: string): HTMLElement | undefined;
};

export type Border = {
  /** The last message that the user has read; '0' if there is none. */
  readonly lastReadId: string;
  /** True if the messages begin with the first one of the channel. */
  readonly isAtBeginning: boolean;
  /** True if the keyboard enters the list at the first unread message instead of the last one. */
  readonly isEntry: boolean;
};

/** Messages with their days, the border of what was read, and what is being sent. */
export function messageList({ chat, label, isInThread, onEdit }: MessageListOptions): MessageList {
  const elements = new ElementCache<HTMLElement>();
  const shown = new Map<string, Message>();
  const actions = messageActions(chat, isInThread, onEdit);
  const element = h('div', {
    class: 'messages',
    role: 'log',
    'aria-label': label,
    on: { pointerover: onPoint, pointerleave: leave, focusin: onPoint, keydown: onKey },
  });

  function show(messages: readonly Message[], pending: readonly Pending[], border?: Border): void {
    shown.clear();
    const wanted: HTMLElement[] = [];
    const firstUnread = findFirstUnread(messages, border);
    let entry: HTMLElement | undefined;
    let before: Message | undefined;
    for (const message of messages) {
      shown.set(message.id, message);
      const isNewDay = dayKey(message.createTime) !== dayKey(before?.createTime);
      if (isNewDay)
        wanted.push(divider(`day ${dayKey(message.createTime)}`, 'day', dayOf(message.createTime)));
      const isBorder = message === firstUnread;
      if (isBorder) wanted.push(divider('unread', 'unread', t('newMessages')));
      const isContinued = !isNewDay && !isBorder && continues(before, message);
      const context = { chat, isContinued, isInThread };
      const make = () => messageElement(message, context);
      const child = elements.get(message.id, signatureOf(message, context), make);
      wanted.push(child);
      if (isBorder && border?.isEntry) entry = child;
      before = message;
    }
    for (const item of pending) {
      const { requestId, failure = '' } = item.entry;
      const signature = `${failure} ${item.messageId} ${currentLanguage()}`;
      wanted.push(elements.get(requestId, signature, () => pendingElement(chat, item)));
    }
    elements.sweep();
    keepFocus(() => reconcile(element, wanted));
    entry ??= wanted.at(-1);
    for (const child of wanted) child.tabIndex = child === entry ? 0 : -1;
  }

  /** The first message of others after the last one that was read, if what is between them is in the list. */
  function findFirstUnread(messages: readonly Message[], border: Border | undefined): Message | undefined {
    if (border === undefined) return undefined;
    const { lastReadId, isAtBeginning } = border;
    const start = messages.findLastIndex(({ id }) => compareInt64(id, lastReadId) <= 0);
    if (start < 0 && !isAtBeginning) return undefined;
    return messages
      .slice(start + 1)
      .find(({ senderId, notice }) => senderId !== chat.user.id && notice === undefined);
  }

  function scrollToBorder(): boolean {
    const border = element.querySelector('.divider.unread');
    border?.scrollIntoView({ block: 'start' });
    return border !== null;
  }

  /** A focused message that changes is replaced by another element. */
  function keepFocus(work: () => void): void {
    const focused = document.activeElement?.closest<HTMLElement>('[data-id]');
    const id = focused !== null && element.contains(focused ?? null) ? focused?.dataset['id'] : undefined;
    work();
    if (id !== undefined && !focused?.isConnected) elementOf(id)?.focus({ preventScroll: true });
  }

  function divider(key: string, name: string, text: string): HTMLElement {
    return elements.get(key, text, () =>
      h('div', { class: `divider ${name}`, role: 'separator' }, h('span', {}, text)),
    );
  }

  function elementOf(messageId: string): HTMLElement | undefined {
    return element.querySelector<HTMLElement>(`[data-id="${messageId}"]`) ?? undefined;
  }

  function messageAt(target: EventTarget | null): { message: Message; article: HTMLElement } | undefined {
    const article = target instanceof Element ? target.closest<HTMLElement>('article[data-id]') : null;
    const message = shown.get(article?.dataset['id'] ?? '');
    if (article === null || message === undefined || message.deleteTime !== undefined) return undefined;
    return { message, article };
  }

  function onPoint({ target }: Event): void {
    const at = messageAt(target);
    if (at !== undefined) actions.show(at.message, at.article);
  }

  function leave(): void {
    if (!element.contains(document.activeElement)) actions.hide();
  }

  /** Up and down move between messages; E edits the user's own. */
  function onKey(event: KeyboardEvent): void {
    const { key, target } = event;
    if (!(target instanceof HTMLElement)) return;
    const article = target.closest('article');
    if (key === 'ArrowUp' || key === 'ArrowDown') {
      const articles: (Element | null)[] = [...element.querySelectorAll('article')];
      const at = articles.indexOf(article);
      const next = articles[at + (key === 'ArrowUp' ? -1 : 1)];
      if (next instanceof HTMLElement) next.focus();
      event.preventDefault();
    }
    const at = messageAt(target);
    if (key.toLowerCase() === 'e' && target === article && at?.message.senderId === chat.user.id) {
      onEdit(at.message);
      event.preventDefault();
    }
  }

  return { element, show, scrollToBorder, elementOf };
}

function continues(before: Message | undefined, { senderId, createTime, pinTime }: Message): boolean {
  if (before?.createTime === undefined || createTime === undefined || before.notice !== undefined)
    return false;
  const age = timestampMs(createTime) - timestampMs(before.createTime);
  return before.senderId === senderId && pinTime === undefined && age < CONTINUED_MS;
}
