import type { Chat } from '../chat.ts';
import { fill, h } from '../dom.ts';
import { t } from '../i18n.ts';
import type { View } from './view.ts';

/** The state of the connection: a banner while there is none. */
export function connectionView(chat: Chat): View {
  const element = h('div', { class: 'connection', role: 'status' });
  let shown = '';

  function update(): void {
    const { connection, failure } = chat;
    // A new attempt after an interruption does not hide that there is one.
    if (connection === 'connecting' && shown.startsWith('waiting')) return;
    const state = `${connection} ${failure}`;
    if (state === shown) return;
    shown = state;
    element.dataset['state'] = connection;
    const retry = h(
      'button',
      { type: 'button', class: 'link', on: { click: () => chat.wake() } },
      t('retryNow'),
    );
    if (connection === 'open') fill(element, [h('span', { class: 'visually-hidden' }, t('connected'))]);
    else if (connection === 'connecting') fill(element, [t('connecting')]);
    else if (connection === 'failed') fill(element, [t('failed', { reason: failure })]);
    else fill(element, [t('reconnecting'), retry]);
  }

  return { element, update };
}
