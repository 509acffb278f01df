// Long enough that random bytes rarely contain one: a file in which none occurs is shown inline.
const MARKUP = /<(?:!doctype|html|head|body|script|iframe|svg)|javascript:/i;
const LONGEST = 16;

/** Finds out whether a file contains HTML or SVG, also behind the bytes of another format. */
export class MarkupDetector {
  found = false;
  #tail = '';

  /** Takes the next bytes of the file. */
  add(chunk: Buffer): void {
    if (this.found) return;
    const text = this.#tail + chunk.toString('latin1');
    this.found = MARKUP.test(text);
    this.#tail = text.slice(-LONGEST);
  }
}
