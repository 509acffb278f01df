import type { Chat } from '../chat.ts';
import { fill, h } from '../dom.ts';
import { t } from '../i18n.ts';
import { avatar } from '../people.ts';

type Candidate = { readonly name: string; readonly hint: string; readonly userId: string };

const MAX_SHOWN = 6;

export type MentionPicker = {
  readonly element: HTMLElement;
  /** Shows matching members if the text before the caret ends with `@` and a part of a name. */
  update(): void;
  /** Looks again for members, which may not have been read yet. */
  refresh(): void;
  /** True if the picker has used the key. */
  onKey(event: KeyboardEvent): boolean;
};

/** A list of members below the caret, with the focus in the text. */
export function mentionPicker(chat: Chat, channelId: string, input: HTMLTextAreaElement): MentionPicker {
  const id = `mentions-${crypto.randomUUID()}`;
  const element = h('ul', { class: 'mentions', role: 'listbox', id, hidden: true });
  let candidates: Candidate[] = [];
  let selected = 0;
  /** Position of the `@`; -1 if there is none to complete. */
  let start = -1;
  for (const [name, value] of [
    ['aria-controls', id],
    ['aria-autocomplete', 'list'],
  ] as const)
    input.setAttribute(name, value);

  function update(): void {
    const before = input.value.slice(0, input.selectionStart);
    const match = /(?:^|\s)@([\p{L}\p{M}\d ]{0,30})$/u.exec(before);
    start = match === null ? -1 : before.lastIndexOf('@');
    candidates = match === null ? [] : find(match[1] ?? '');
    selected = 0;
    show();
  }

  function find(part: string): Candidate[] {
    const { members } = chat.store.channel(channelId);
    const users = [...members.keys()].filter((userId) => userId !== chat.user.id);
    const people = users.map((userId) => ({ name: chat.nameOf(userId), hint: '', userId }));
    const groups = [
      { name: 'all', hint: t('everybody'), userId: '0' },
      { name: 'here', hint: t('present'), userId: '0' },
    ];
    const wanted = fold(part);
    const isMatch = ({ name }: Candidate) =>
      fold(name).startsWith(wanted) || fold(name).includes(` ${wanted}`);
    return [...people, ...groups].filter(isMatch).slice(0, MAX_SHOWN);
  }

  function show(): void {
    element.hidden = candidates.length === 0;
    if (element.hidden) input.removeAttribute('aria-activedescendant');
    else input.setAttribute('aria-activedescendant', `${id}-${selected}`);
    fill(
      element,
      candidates.map((candidate, index) =>
        h(
          'li',
          {
            role: 'option',
            id: `${id}-${index}`,
            'aria-selected': `${index === selected}`,
            on: { pointerdown: (event) => choose(candidate, event) },
          },
          candidate.userId === '0'
            ? h('span', { class: 'avatar square' }, '@')
            : avatar(candidate.name, candidate.userId),
          h('span', {}, candidate.name, candidate.hint !== '' && h('small', {}, candidate.hint)),
        ),
      ),
    );
  }

  function close(): void {
    candidates = [];
    start = -1;
  }

  /** By pointer before the field loses the focus. */
  function choose({ name }: Candidate, event?: PointerEvent): void {
    event?.preventDefault();
    input.setRangeText(`@${name} `, start, input.selectionStart, 'end');
    close();
    show();
    input.dispatchEvent(new Event('input', { bubbles: true }));
  }

  function onKey(event: KeyboardEvent): boolean {
    const candidate = candidates[selected];
    if (element.hidden || candidate === undefined) return false;
    const { length } = candidates;
    if (event.key === 'ArrowDown') selected = (selected + 1) % length;
    else if (event.key === 'ArrowUp') selected = (selected + length - 1) % length;
    else if (event.key === 'Escape') close();
    else if (event.key === 'Enter' || event.key === 'Tab') choose(candidate);
    else return false;
    show();
    return true;
  }

  function refresh(): void {
    if (start >= 0 && candidates.length === 0) update();
  }

  return { element, update, refresh, onKey };
}

function fold(text: string): string {
  return text.normalize('NFD').replace(/\p{M}/gu, '').replaceAll('đ', 'd').replaceAll('Đ', 'd').toLowerCase();
}
