import { wordsOf } from '../db/words.ts';
import { errors } from '../rpc/errors.ts';

/** One thing a message must hold, or must not. */
export type Term = {
  /** Its words in a row, composed and in lower case, letters and digits only. */
  readonly words: readonly string[];
  readonly kind: 'WORD' | 'PHRASE' | 'PREFIX' | 'PART';
  readonly negated: boolean;
};

const MAX_WORDS = 64;
// Beginnings and parts stand for many words each.
const MAX_OPEN = 4;
const MIN_OPEN = 3;

/** Reads a query as SearchService describes it; one that cannot be answered is refused. */
export function parseQuery(query: string): Term[] {
  const terms = [
    ...query
      .normalize('NFC')
      .replaceAll(/[“”„«»]/g, '"')
      .matchAll(pieces),
  ].flatMap(([, minus = '', quoted, bare = '']) => toTerm(minus !== '', quoted, bare));
  if (terms.length === 0) throw errors.fieldInvalid('query', 'holds no word to look for');
  if (terms.every(({ negated }) => negated))
    throw errors.fieldInvalid('query', 'says what to leave out, but not what to find');
  if (terms.flatMap(({ words }) => words).length > MAX_WORDS)
    throw errors.fieldInvalid('query', `has more than ${MAX_WORDS} words`);
  if (terms.filter(isOpen).length > MAX_OPEN)
    throw errors.fieldInvalid('query', `has more than ${MAX_OPEN} words with *`);
  return terms;
}

/** The same terms looked for anywhere in words; undefined where none is long enough. */
export function toParts(terms: readonly Term[]): Term[] | undefined {
  let open = 0;
  const parts = terms.flatMap((term): Term[] => {
    if (term.negated || (term.kind !== 'WORD' && term.kind !== 'PREFIX')) return [term];
    return term.words.map((word, index) => {
      // Of a code its last word: the others, such as a year, are parts of very many.
      const isPart = index === term.words.length - 1 && length(word) >= MIN_OPEN && open < MAX_OPEN;
      if (isPart) open += 1;
      return { words: [word], kind: isPart ? 'PART' : 'WORD', negated: false };
    });
  });
  return open === 0 ? undefined : parts;
}

// A quote that is not closed goes to the end, as it does while somebody is typing.
const pieces = /(-)?(?:"([^"]*)(?:"|$)|([^\s"]+))/gu;

function toTerm(negated: boolean, quoted: string | undefined, bare: string): Term[] {
  const found = wordsOf(quoted ?? bare);
  if (found.length === 0) return [];
  if (quoted !== undefined) return [{ words: found, kind: 'PHRASE', negated }];
  const [first = ''] = found;
  if (bare.startsWith('*')) {
    if (found.length > 1 || length(first) < MIN_OPEN)
      throw errors.fieldInvalid('query', `a part of a word is one word of ${MIN_OPEN} letters or more`);
    return [{ words: found, kind: 'PART', negated }];
  }
  if (bare.endsWith('*')) {
    if (found.length === 1 && length(first) < MIN_OPEN)
      throw errors.fieldInvalid('query', `the beginning of a word has ${MIN_OPEN} letters or more`);
    return [{ words: found, kind: 'PREFIX', negated }];
  }
  return [{ words: found, kind: 'WORD', negated }];
}

function isOpen({ kind }: Term): boolean {
  return kind === 'PREFIX' || kind === 'PART';
}

function length(word: string): number {
  return [...word].length;
}
