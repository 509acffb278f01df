import type { ChannelState } from '@serp/discuss-client/channel-state';
import type { MessageJson } from '@serp/discuss-client/gen/serp/discuss/v1/message_pb';
import { compareInt64 } from '@serp/discuss-client/int64';
import { timestampMs } from '@serp/discuss-client/times';
import type { Chat } from '../chat.ts';
import { ElementCache, h, reconcile } from '../dom.ts';
import { shortTimeOf } from '../format.ts';
import { currentLanguage, t } from '../i18n.ts';
import { icon } from '../icons.ts';
import { channelAvatar, otherUser, statusOf, titleOf } from '../people.ts';
import { addressOf, currentRoute } from '../route.ts';
import type { View } from './view.ts';

const MAX_COUNT = 99;

/** All conversations of the user, the one with the newest message first. */
export function channelListView(chat: Chat): View {
  const rows = new ElementCache<HTMLLIElement>();
  const list = h('ul', { class: 'channels' });
  const empty = h('p', { class: 'hint' }, t('noChannels'));
  const filter = h('input', {
    type: 'search',
    placeholder: t('filter'),
    'aria-label': t('filter'),
    autocomplete: 'off',
    on: { input: update, keydown: onKey },
  });
  const element = h(
    'nav',
    { 'aria-label': t('channels') },
    h('div', { class: 'filter' }, icon('search'), filter),
    list,
    empty,
  );
  list.addEventListener('keydown', onKey);

  function update(): void {
    const { channelId: current } = currentRoute();
    const wanted = fold(filter.value);
    const shown = [...chat.store.channels.values()]
      .filter(({ channel }) => channel !== undefined && fold(titleOf(chat, channel)).includes(wanted))
      .sort(byNewest);
    empty.hidden = shown.length > 0;
    reconcile(
      list,
      shown.map((state) => {
        const row = describe(state, state.id === current);
        return rows.get(state.id, JSON.stringify(row), () => toElement(state, row));
      }),
    );
    rows.sweep();
  }

  function describe(state: ChannelState, isCurrent: boolean) {
    const { channel, membership } = state;
    const last = lastMessage(state);
    const other = otherUser(chat, channel);
    return {
      title: titleOf(chat, channel),
      preview: last === undefined ? '' : previewOf(last),
      time: shortTimeOf(last?.createTime ?? channel?.createTime),
      unread: membership?.unreadCount ?? 0,
      mentions: chat.mentions.get(state.id) ?? 0,
      status: other === undefined ? undefined : statusOf(chat, other),
      isCurrent,
      language: currentLanguage(),
    };
  }

  function previewOf({ senderId, content, attachments = [] }: MessageJson): string {
    const text = content || attachments.map(({ fileName = '' }) => fileName).join(', ') || '…';
    return senderId === chat.user.id ? t('youSaid', { text }) : text;
  }

  function lastMessage({ id, log }: ChannelState): MessageJson | undefined {
    let last = chat.previews.get(id);
    for (const message of log.messages.values()) {
      const isShown = message.deleteTime === undefined && message.notice === undefined;
      if (isShown && compareInt64(message.id, last?.id) >= 0) last = message;
    }
    return last;
  }

  function toElement(state: ChannelState, row: ReturnType<typeof describe>): HTMLLIElement {
    const badges = [
      row.mentions > 0 && h('span', { class: 'badge mention', title: t('mentioned') }, '@'),
      row.unread > 0 &&
        h('span', { class: 'badge' }, row.unread > MAX_COUNT ? `${MAX_COUNT}+` : `${row.unread}`),
    ];
    const label = [
      row.title,
      row.status && t(row.status),
      row.unread > 0 && t('unread', { count: row.unread }),
      row.mentions > 0 && t('mentioned'),
      row.preview,
    ];
    const attributes = {
      href: addressOf({ channelId: state.id }),
      class: row.unread > 0 ? 'unread' : undefined,
      'aria-current': row.isCurrent ? 'page' : undefined,
      'aria-label': label.filter((part) => part).join(', '),
    };
    return h(
      'li',
      {},
      h(
        'a',
        attributes,
        channelAvatar(chat, state.channel),
        h('span', { class: 'title' }, row.title),
        h('time', {}, row.time),
        h('span', { class: 'preview' }, row.preview),
        h('span', { class: 'badges' }, ...badges),
      ),
    );
  }

  /** Up and down move between the filter and the rows. */
  function onKey(event: KeyboardEvent): void {
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
    const stops: (Element | null)[] = [filter, ...list.querySelectorAll('a')];
    const at = stops.indexOf(document.activeElement);
    const next = stops[at + (event.key === 'ArrowDown' ? 1 : -1)];
    if (next instanceof HTMLElement) next.focus();
    event.preventDefault();
  }

  return { element, update };
}

function byNewest(a: ChannelState, b: ChannelState): number {
  return timeOf(b) - timeOf(a);
}

function timeOf({ channel }: ChannelState): number {
  const time = channel?.lastMessageTime ?? channel?.createTime;
  return time === undefined ? 0 : timestampMs(time);
}

function fold(text: string): string {
  return text.normalize('NFD').replace(/\p{M}/gu, '').replaceAll('đ', 'd').replaceAll('Đ', 'd').toLowerCase();
}
