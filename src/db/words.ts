const words = /[\p{L}\p{N}][\p{L}\p{N}\p{M}]*/gu;

/** Words of a text: runs of letters and digits, as PostgreSQL's parser takes them once signs are spaces. */
export function wordsOf(text: string): string[] {
  return text.normalize('NFC').toLowerCase().match(words) ?? [];
}
