import type { Chat } from '../chat.ts';
import type { Message } from '../defaults.ts';
import { h } from '../dom.ts';

const ADDRESS = /https?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)]/g;
const GROUPS = ['@all', '@here'];

/** The text of a message with its mentions and addresses, as elements that contain only text. */
export function contentOf(chat: Chat, { content, mentionUserIds, mentionScope }: Message): Node[] {
  const names = mentionUserIds.map((userId) => `@${chat.nameOf(userId)}`);
  const marks = mentionScope === 'MENTION_SCOPE_UNSPECIFIED' ? names : [...names, ...GROUPS];
  const own = new Set([`@${chat.user.name}`, ...GROUPS]);
  return split(content, marks).flatMap((part) => {
    if (!marks.includes(part)) return withLinks(part);
    return [h('span', { class: own.has(part) ? 'mention own' : 'mention' }, part)];
  });
}

/** Cuts a text before and after each mark. */
function split(text: string, marks: readonly string[]): string[] {
  const parts: string[] = [];
  let start = 0;
  for (let at = text.indexOf('@'); at >= 0; at = text.indexOf('@', at + 1)) {
    const mark = marks.find((candidate) => text.startsWith(candidate, at));
    if (mark === undefined || at < start) continue;
    parts.push(text.slice(start, at), mark);
    start = at + mark.length;
  }
  return [...parts, text.slice(start)];
}

function withLinks(text: string): Node[] {
  const nodes: Node[] = [];
  let start = 0;
  for (const { 0: address, index } of text.matchAll(ADDRESS)) {
    nodes.push(document.createTextNode(text.slice(start, index)));
    nodes.push(h('a', { href: address, target: '_blank', rel: 'noopener noreferrer nofollow' }, address));
    start = index + address.length;
  }
  nodes.push(document.createTextNode(text.slice(start)));
  return nodes;
}
