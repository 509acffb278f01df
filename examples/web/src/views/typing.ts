import type { Chat } from '../chat.ts';
import { fill, h } from '../dom.ts';
import { t } from '../i18n.ts';
import type { View } from './view.ts';

const REPEAT_MS = 3_000;
const REFRESH_MS = 1_000;

/** Reports to the other members that the user is writing, as often as the service broadcasts it. */
export function typingReporter(chat: Chat, channelId: string): { report(): void; stop(): void } {
  let last = 0;
  return {
    report() {
      if (Date.now() - last < REPEAT_MS) return;
      last = Date.now();
      chat.transport.unary('PresenceService/StartTyping', { channelId }).catch(() => {});
    },
    stop() {
      if (last === 0) return;
      last = 0;
      chat.transport.unary('PresenceService/StopTyping', { channelId }).catch(() => {});
    },
  };
}

/** Names the members that are writing. */
export function typingView(chat: Chat, channelId: string): View {
  const element = h('p', { class: 'typing', 'aria-live': 'polite' });
  let shown = '';
  // An indicator ends without an event.
  const timer = setInterval(update, REFRESH_MS);

  function update(): void {
    const [a, b, c] = chat.store
      .channel(channelId)
      .typingUsers(Date.now())
      .map((userId) => chat.nameOf(userId));
    const text = textFor(a, b, c);
    if (text === shown) return;
    shown = text;
    const dots = h('span', { class: 'dots', 'aria-hidden': 'true' }, h('i'), h('i'), h('i'));
    fill(element, text === '' ? [] : [dots, text]);
  }

  return { element, update, close: () => clearInterval(timer) };
}

function textFor(a: string | undefined, b: string | undefined, c: string | undefined): string {
  if (a === undefined) return '';
  if (b === undefined) return t('typingOne', { a });
  return c === undefined ? t('typingTwo', { a, b }) : t('typingMany');
}
