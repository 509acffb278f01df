import type { FoundMessageJson } from '@serp/discuss-client/gen/serp/discuss/v1/search_service_pb';
import type { Chat } from '../chat.ts';
import { fill, h } from '../dom.ts';
import { textOf } from '../errors.ts';
import { shortTimeOf } from '../format.ts';
import { t } from '../i18n.ts';
import { icon } from '../icons.ts';
import { titleOf } from '../people.ts';
import { addressOf } from '../route.ts';
import type { View } from './view.ts';

const DELAY_MS = 250;

/** Searches all messages of the user; a result leads to its place in the history. */
export function searchView(chat: Chat, onClose: () => void): View & { focus(): void } {
  let latest = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const input = h('input', {
    type: 'search',
    maxlength: 200,
    placeholder: t('search'),
    'aria-label': t('search'),
    autocomplete: 'off',
    on: { input: start },
  });
  const status = h('p', { class: 'hint', role: 'status' }, t('searchHint'));
  const results = h('ul', { class: 'results' });
  const close = h(
    'button',
    { type: 'button', class: 'round', 'aria-label': t('close'), on: { click: onClose } },
    icon('close'),
  );
  const field = h('div', { class: 'filter' }, icon('search'), input);
  const element = h(
    'aside',
    { class: 'panel search', 'aria-label': t('search') },
    h('header', {}, field, close),
    status,
    results,
  );
  element.addEventListener('keydown', ({ key }) => {
    if (key === 'Escape') onClose();
  });

  function start(): void {
    clearTimeout(timer);
    timer = setTimeout(() => void search(input.value.trim()), DELAY_MS);
  }

  async function search(query: string, pageToken = ''): Promise<void> {
    latest += 1;
    const number = latest;
    if (query === '') return show([], t('searchHint'));
    try {
      const request = { query, pageToken };
      const page = await chat.transport.unary('SearchService/SearchMessages', request);
      const { messages = [], nextPageToken = '' } = page;
      // A later search has overtaken this one.
      if (number !== latest) return;
      const count = (pageToken === '' ? 0 : results.children.length - 1) + messages.length;
      const text =
        count === 0
          ? t('noResults', { query })
          : t('results', { count: nextPageToken === '' ? count : `${count}+` });
      show(
        messages,
        text,
        pageToken !== '',
        nextPageToken === '' ? undefined : () => void search(query, nextPageToken),
      );
    } catch (error) {
      if (number === latest) show([], textOf(error));
    }
  }

  function show(
    messages: readonly FoundMessageJson[],
    text: string,
    isNextPage = false,
    more?: () => void,
  ): void {
    status.textContent = text;
    const kept = isNextPage ? [...results.children].slice(0, -1) : [];
    const button =
      more && h('li', {}, h('button', { type: 'button', class: 'link', on: { click: more } }, t('more')));
    fill(results, [...kept, ...messages.map(toItem), button]);
  }

  function toItem({
    channelId = '0',
    messageId = '0',
    senderId = '0',
    createTime,
    snippet = [],
    cutBefore = false,
    cutAfter = false,
  }: FoundMessageJson): HTMLElement {
    const parts = snippet.map(({ text = '', match }) => (match ? h('mark', {}, text) : text));
    return h(
      'li',
      {},
      h(
        'a',
        { href: addressOf({ channelId, messageId }) },
        h('strong', { dir: 'auto' }, chat.nameOf(senderId)),
        h('time', {}, shortTimeOf(createTime)),
        h('small', { dir: 'auto' }, titleOf(chat, chat.store.channels.get(channelId)?.channel)),
        h('span', { class: 'snippet', dir: 'auto' }, cutBefore && '… ', ...parts, cutAfter && ' …'),
      ),
    );
  }

  return { element, update() {}, focus: () => input.focus(), close: () => clearTimeout(timer) };
}
