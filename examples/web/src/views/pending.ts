import type { Chat, Pending } from '../chat.ts';
import { h } from '../dom.ts';
import { t } from '../i18n.ts';
import { icon } from '../icons.ts';

/** A message that was not posted yet, or that the stream has not delivered yet. */
export function pendingElement(chat: Chat, { entry, messageId }: Pending): HTMLElement {
  const { requestId, draft, failure } = entry;
  const button = (text: string, click: () => void) =>
    h('button', { type: 'button', class: 'link', on: { click } }, text);
  const state =
    failure === undefined
      ? h('p', { class: 'state' }, icon('clock'), t('pending'))
      : h(
          'p',
          { class: 'state failed', role: 'alert' },
          t('rejected', { reason: failure }),
          button(t('retry'), () => void chat.outbox.retry(requestId)),
          button(t('discard'), () => void chat.outbox.discard(requestId)),
        );
  return h(
    'article',
    { class: 'message own continued pending', 'aria-label': t('pending') },
    h('span'),
    h(
      'div',
      { class: 'body' },
      h('p', { class: 'text', dir: 'auto' }, draft.content ?? ''),
      messageId === undefined && state,
    ),
  );
}
