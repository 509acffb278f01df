import type { MessageInitShape } from '@bufbuild/protobuf';
import type {
  FoundChannelSchema,
  FoundMessageSchema,
  TextPartSchema,
} from '#gen/serp/discuss/v1/search_service_pb.ts';
import { toChannel } from '../channel/view.ts';
import { toTimestamp } from '../db/time.ts';
import { toMembership } from '../membership/view.ts';
import { toMessageType } from '../message/view.ts';
import type { Term } from './query.ts';
import type { FoundChannelRow, FoundMessageRow } from './sql.ts';

const SNIPPET = 240;
const LEAD = 60;

/** A message in search results, with a snippet. */
export function toFoundMessage(
  row: FoundMessageRow,
  terms: readonly Term[],
): MessageInitShape<typeof FoundMessageSchema> {
  return {
    channelId: row.channelId,
    messageId: row.id,
    position: row.postSeq,
    senderId: row.senderId,
    type: toMessageType(row.messageType),
    rootMessageId: row.parentId ?? 0n,
    createTime: toTimestamp(row.createdAt),
    editTime: toTimestamp(row.editedAt),
    ...toSnippet(row.content === '' ? row.fileNames : row.content, terms, row.forms),
  };
}

export function toFoundChannel(row: FoundChannelRow): MessageInitShape<typeof FoundChannelSchema> {
  return {
    channel: toChannel(row),
    membership: row.role === null ? undefined : toMembership(row.id, row),
  };
}

type Span = { readonly start: number; readonly end: number };
type Word = Span & { readonly normalized: string };
type Part = MessageInitShape<typeof TextPartSchema>;

/** The text around its first match, in parts. `forms` are words that the database matched as forms of a term. */
export function toSnippet(text: string, terms: readonly Term[], forms: readonly string[]) {
  const all = [...text.matchAll(/[\p{L}\p{N}][\p{L}\p{N}\p{M}]*/gu)].map(
    ({ 0: word, index }): Word => ({
      start: index,
      end: index + word.length,
      normalized: normalizeWord(word),
    }),
  );
  const matches = toMatches(all, terms, new Set(forms.map(normalizeWord)));
  const { start, end } = toWindow(text, all, matches[0]?.start ?? 0);
  const parts: Part[] = [];
  let at = start;
  for (const match of matches) {
    if (match.start < at || match.end > end) continue;
    if (match.start > at) parts.push({ text: text.slice(at, match.start), match: false });
    parts.push({ text: text.slice(match.start, match.end), match: true });
    at = match.end;
  }
  if (at < end) parts.push({ text: text.slice(at, end), match: false });
  return { snippet: parts, cutBefore: start > 0, cutAfter: end < text.length };
}

/** Lower case without diacritics, like PostgreSQL's unaccent. */
export function normalizeWord(word: string): string {
  return word
    .normalize('NFD')
    .replaceAll(/\p{M}/gu, '')
    .toLowerCase()
    .replaceAll(/[đøłßæœ]/gu, (letter) => letters.get(letter) ?? letter);
}

const letters: ReadonlyMap<string, string> = new Map([
  ['đ', 'd'],
  ['ø', 'o'],
  ['ł', 'l'],
  ['ß', 'ss'],
  ['æ', 'ae'],
  ['œ', 'oe'],
]);

// Matching spans: one for each word, and one for a phrase.
function toMatches(all: readonly Word[], terms: readonly Term[], forms: ReadonlySet<string>): Span[] {
  const wanted = terms
    .filter(({ negated }) => !negated)
    .map(({ words, kind }) => ({ kind, words: words.map(normalizeWord) }));
  const matches: Span[] = [];
  for (let index = 0; index < all.length; index++) {
    const lengths = wanted.filter(({ kind, words }) => matchesAt(all, index, kind, words));
    const longest = Math.max(0, ...lengths.map(({ words }) => words.length));
    const count = longest === 0 && forms.has(all[index]?.normalized ?? '') ? 1 : longest;
    const [first, last] = [all[index], all[index + count - 1]];
    if (count === 0 || first === undefined || last === undefined) continue;
    matches.push({ start: first.start, end: last.end });
    index += count - 1;
  }
  return matches;
}

function matchesAt(
  all: readonly Word[],
  index: number,
  kind: Term['kind'],
  words: readonly string[],
): boolean {
  return words.every((word, offset) => {
    const found = all[index + offset]?.normalized;
    if (found === undefined) return false;
    if (kind === 'PART') return found.includes(word);
    return kind === 'PREFIX' && offset === words.length - 1 ? found.startsWith(word) : found === word;
  });
}

// The window begins and ends between words, unless a word is longer than the window.
function toWindow(text: string, all: readonly Word[], match: number): Span {
  if (text.length <= SNIPPET) return { start: 0, end: text.length };
  const from = Math.min(match - LEAD, text.length - SNIPPET);
  const start =
    from <= 0 ? 0 : (all.find((word) => word.start >= from && word.start <= match)?.start ?? match);
  if (text.length - start <= SNIPPET) return { start, end: text.length };
  const end = all.findLast((word) => word.end > start && word.end <= start + SNIPPET)?.end;
  return { start, end: end ?? toWholeCharacter(text, start + SNIPPET) };
}

function toWholeCharacter(text: string, index: number): number {
  const code = text.charCodeAt(index);
  return code >= 0xdc00 && code <= 0xdfff ? index + 1 : index;
}
