import { errors } from '../rpc/errors.ts';

const MAX_CHARACTERS = 10_000;
const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

/**
 * Refuses a text that is blank or longer than 10,000 characters as people see them. Only a text of more UTF-16
 * units than that is taken apart, which costs 1 to 6 ms; its bytes are bounded by the proto.
 */
export function requireContent(content: string): void {
  if (!/\S/.test(content)) throw errors.fieldInvalid('content', 'must not be blank');
  if (content.length <= MAX_CHARACTERS) return;
  let count = 0;
  for (const _ of graphemes.segment(content)) {
    count += 1;
    if (count > MAX_CHARACTERS)
      throw errors.fieldInvalid('content', `must be at most ${MAX_CHARACTERS} characters`);
  }
}
