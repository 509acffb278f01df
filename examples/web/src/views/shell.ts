import type { Chat } from '../chat.ts';
import { signOut } from '../demo.ts';
import { fill, h } from '../dom.ts';
import { currentLanguage, t } from '../i18n.ts';
import { icon } from '../icons.ts';
import { avatar } from '../people.ts';
import { currentRoute, go } from '../route.ts';
import { channelListView } from './channel-list.ts';
import { connectionView } from './connection.ts';
import { type Conversation, conversationView } from './conversation.ts';
import { searchView } from './search.ts';
import { languageButton, themeButton } from './settings.ts';
import { threadView } from './thread.ts';
import type { View } from './view.ts';

type Panel = View & { focus(): void };

/** The page of a signed-in user: the list, the conversation, and a thread or the search beside it. */
export function shellView(chat: Chat, onLanguage: () => void): View {
  const channels = channelListView(chat);
  const connection = connectionView(chat);
  const main = h('main', {});
  const element = h('div', { class: 'shell' }, connection.element, sidebar(), main);
  const listeners = new AbortController();
  let conversation: Conversation | undefined;
  let panel: Panel | undefined;
  let shown = '';
  globalThis.addEventListener('hashchange', navigate, { signal: listeners.signal });
  document.addEventListener('keydown', onKey, { signal: listeners.signal });
  navigate();

  function sidebar(): HTMLElement {
    const { name, title, id } = chat.user;
    const leave = h(
      'button',
      {
        type: 'button',
        class: 'round',
        'aria-label': t('signOut'),
        title: t('signOut'),
        on: { click: signOut },
      },
      icon('exit'),
    );
    const own = h('span', { class: 'me' }, h('strong', {}, name), h('small', {}, title[currentLanguage()]));
    const brand = h(
      'div',
      { class: 'brand' },
      h('img', { src: 'icon.svg', alt: '', width: 28, height: 28 }),
      t('appName'),
    );
    return h(
      'div',
      { class: 'sidebar' },
      h('header', {}, brand, languageButton(onLanguage), themeButton()),
      channels.element,
      h('footer', {}, avatar(name, id), own, leave),
    );
  }

  /** Shows what the address names. */
  function navigate(): void {
    const { channelId, messageId, threadId } = currentRoute();
    element.dataset['view'] = channelId === undefined ? 'list' : 'conversation';
    if (`${channelId}` !== shown) openConversation(channelId);
    shown = `${channelId}`;
    if (messageId !== undefined) void conversation?.history.jumpTo(messageId);
    if (channelId !== undefined && threadId !== undefined) openPanel(threadView(chat, channelId, threadId));
    else if (!panel?.element.classList.contains('search') || messageId === undefined) closePanel();
    update();
  }

  function openConversation(channelId: string | undefined): void {
    closePanel();
    conversation?.close?.();
    conversation = undefined;
    if (channelId === undefined) {
      fill(main, [
        h(
          'div',
          { class: 'placeholder' },
          h('h1', {}, t('pickChannel')),
          h('p', { class: 'hint' }, t('pickChannelHint')),
        ),
      ]);
      return;
    }
    if (!chat.store.channels.has(channelId)) {
      fill(main, [h('div', { class: 'placeholder', role: 'alert' }, t('openFailed'))]);
      return;
    }
    conversation = conversationView(chat, channelId, openSearch);
    fill(main, [conversation.element]);
    if (currentRoute().messageId === undefined) void conversation.history.open();
    // Not on a phone, where the keyboard would cover the messages.
    if (matchMedia('(hover: hover)').matches) conversation.writer.focus();
  }

  function openPanel(next: Panel): void {
    closePanel();
    panel = next;
    element.append(next.element);
    element.classList.add('with-panel');
    next.update();
    next.focus();
  }

  function openSearch(): void {
    openPanel(searchView(chat, closePanel));
  }

  function closePanel(): void {
    if (panel === undefined) return;
    const hadFocus = panel.element.contains(document.activeElement);
    panel.close?.();
    panel.element.remove();
    panel = undefined;
    element.classList.remove('with-panel');
    if (hadFocus) conversation?.writer.focus();
  }

  function onKey(event: KeyboardEvent): void {
    if ((event.ctrlKey || event.metaKey) && event.key === 'k') {
      event.preventDefault();
      openSearch();
    }
    if (!event.altKey || (event.key !== 'ArrowDown' && event.key !== 'ArrowUp')) return;
    event.preventDefault();
    const links = [...channels.element.querySelectorAll('a')];
    const at = links.findIndex((link) => link.getAttribute('aria-current') === 'page');
    const next = links[at + (event.key === 'ArrowDown' ? 1 : -1)];
    const id = next?.getAttribute('href')?.split('/').at(-1);
    if (id !== undefined) go({ channelId: id });
  }

  function update(): void {
    channels.update();
    connection.update();
    conversation?.update();
    panel?.update();
    const unread = [...chat.store.channels.values()].reduce(
      (sum, { membership }) => sum + (membership?.unreadCount ?? 0),
      0,
    );
    document.title = unread > 0 ? `(${unread}) ${t('appName')}` : t('appName');
  }

  function close(): void {
    listeners.abort();
    closePanel();
    conversation?.close?.();
  }

  return { element, update, close };
}
