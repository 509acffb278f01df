// Long enough that random bytes rarely contain one: a file in which none occurs is shown inline.
const MARKUP = ['<!doctype', '<html', '<head', '<body', '<script', '<iframe', '<svg', 'javascript:'].map(
  (text) => Buffer.from(text),
);
const LONGEST = Math.max(...MARKUP.map(({ length }) => length));
const LESS_THAN = 0x3c;
const [UPPER_J, LOWER_J] = [0x4a, 0x6a];
// Makes letters lower-case.
const LOWER = 0x20;

/** Finds out whether a file contains HTML or SVG, also behind the bytes of another format. */
export class MarkupDetector {
  found = false;
  #tail = Buffer.alloc(0);

  /** Takes the next bytes of the file. */
  add(chunk: Buffer): void {
    if (this.found) return;
    const border = Buffer.concat([this.#tail, chunk.subarray(0, LONGEST)]);
    this.found = contains(border) || contains(chunk);
    this.#tail = Buffer.concat([this.#tail, chunk.subarray(-LONGEST)]).subarray(-LONGEST);
  }
}

// A regular expression would need a copy of each chunk as text.
function contains(bytes: Buffer): boolean {
  const { length } = bytes;
  for (let at = 0; at < length; at++) {
    const byte = bytes[at];
    if (byte === LESS_THAN || byte === LOWER_J || byte === UPPER_J) if (isMarkup(bytes, at)) return true;
  }
  return false;
}

function isMarkup(bytes: Buffer, at: number): boolean {
  for (const text of MARKUP) if (isAt(bytes, at, text)) return true;
  return false;
}

function isAt(bytes: Buffer, at: number, text: Buffer): boolean {
  for (let index = 0; index < text.length; index++)
    if (((bytes[at + index] ?? 0) | LOWER) !== text[index]) return false;
  return true;
}
