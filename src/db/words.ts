const words = /[\p{L}\p{N}][\p{L}\p{N}\p{M}]*/gu;

/**
 * Words of a text in lower case: runs of letters and digits, as PostgreSQL's parser splits them without punctuation.
 */
export function wordsOf(text: string): string[] {
  return text.normalize('NFC').toLowerCase().match(words) ?? [];
}
