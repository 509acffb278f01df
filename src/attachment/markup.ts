import { Transform } from 'node:stream';

// Long enough that random bytes rarely contain one: a file in which none occurs is shown inline.
const MARKUP = /<(?:!doctype|html|head|body|script|iframe|svg)|javascript:/i;
const LONGEST = 16;

/** Passes a file through, and finds out whether it contains HTML or SVG, also behind the bytes of another format. */
export class MarkupDetector extends Transform {
  found = false;
  #tail = '';

  override _transform(
    chunk: Buffer,
    _encoding: BufferEncoding,
    done: (error?: null, data?: Buffer) => void,
  ): void {
    if (!this.found) {
      const text = this.#tail + chunk.toString('latin1');
      this.found = MARKUP.test(text);
      this.#tail = text.slice(-LONGEST);
    }
    done(null, chunk);
  }
}
