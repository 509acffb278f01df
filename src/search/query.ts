import { wordsOf } from '../db/words.ts';
import { errors } from '../rpc/errors.ts';

/** A term that matching messages contain, or do not contain. */
export type Term = {
  /** Consecutive words in NFC and lower case, letters and digits only. */
  readonly words: readonly string[];
  readonly kind: 'WORD' | 'PHRASE' | 'PREFIX' | 'PART';
  readonly negated: boolean;
};

const MAX_WORDS = 64;
// Prefixes and parts expand to many words each.
const MAX_OPEN = 4;
const MIN_OPEN = 3;

/** Parses a query as SearchService describes it. Throws for a query that cannot be executed. */
export function parseQuery(query: string): Term[] {
  const terms = [
    ...query
      .normalize('NFC')
      .replaceAll(/[“”„«»]/g, '"')
      .matchAll(pieces),
  ].flatMap(([, minus = '', quoted, bare = '']) => toTerm(minus !== '', quoted, bare));
  if (terms.length === 0) throw errors.fieldInvalid('query', 'contains no word');
  if (terms.every(({ negated }) => negated))
    throw errors.fieldInvalid('query', 'contains only excluded words');
  if (terms.flatMap(({ words }) => words).length > MAX_WORDS)
    throw errors.fieldInvalid('query', `has more than ${MAX_WORDS} words`);
  if (terms.filter(isOpen).length > MAX_OPEN)
    throw errors.fieldInvalid('query', `has more than ${MAX_OPEN} words with *`);
  return terms;
}

/** The terms as parts of words; undefined when no word is long enough. */
export function toParts(terms: readonly Term[]): Term[] | undefined {
  let open = 0;
  const parts = terms.flatMap((term): Term[] => {
    if (term.negated || (term.kind !== 'WORD' && term.kind !== 'PREFIX')) return [term];
    return term.words.map((word, index) => {
      // Of a code only its last word: the others, such as a year, are parts of very many words.
      const isPart = index === term.words.length - 1 && length(word) >= MIN_OPEN && open < MAX_OPEN;
      if (isPart) open += 1;
      return { words: [word], kind: isPart ? 'PART' : 'WORD', negated: false };
    });
  });
  return open === 0 ? undefined : parts;
}

// An unclosed quote extends to the end, for searches while the user is typing.
const pieces = /(-)?(?:"([^"]*)(?:"|$)|([^\s"]+))/gu;

function toTerm(negated: boolean, quoted: string | undefined, bare: string): Term[] {
  const found = wordsOf(quoted ?? bare);
  if (found.length === 0) return [];
  if (quoted !== undefined) return [{ words: found, kind: 'PHRASE', negated }];
  const [first = ''] = found;
  if (bare.startsWith('*')) {
    if (found.length > 1 || length(first) < MIN_OPEN)
      throw errors.fieldInvalid('query', `* before a word needs one word of at least ${MIN_OPEN} letters`);
    return [{ words: found, kind: 'PART', negated }];
  }
  if (bare.endsWith('*')) {
    if (found.length === 1 && length(first) < MIN_OPEN)
      throw errors.fieldInvalid('query', `* after a word needs at least ${MIN_OPEN} letters`);
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
