/**
 * Cuts what a Redis server says into whole messages, so that some of them can be left out without harming those
 * around them. https://redis.io/docs/latest/develop/reference/protocol-spec/
 */
export class RespSplitter {
  #rest: Buffer = Buffer.alloc(0);

  /** The messages that are whole now. */
  split(chunk: Buffer): Buffer[] {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const messages: Buffer[] = [];
    let start = 0;
    for (let end = endOf(bytes, 0); end !== undefined; end = endOf(bytes, start)) {
      messages.push(bytes.subarray(start, end));
      start = end;
    }
    this.#rest = bytes.subarray(start);
    return messages;
  }
}

/** Whether a message from the server brings what somebody published. */
export function isPublished(message: Buffer): boolean {
  return /^[*>]\d+\r\n\$\d+\r\n[sp]?message\r\n/.test(message.toString('latin1', 0, 40));
}

const LINE_END = Buffer.from('\r\n');
const TEXTS = '$=!';
const LISTS = '*>~';
const PAIRS = '%|';

/** Where the message at `start` ends; undefined when it is not all there. */
function endOf(bytes: Buffer, start: number): number | undefined {
  const lineEnd = bytes.indexOf(LINE_END, start);
  if (lineEnd < 0) return undefined;
  const kind = String.fromCharCode(bytes[start] ?? 0);
  const next = lineEnd + LINE_END.length;
  const size = Number(bytes.toString('latin1', start + 1, lineEnd));
  if (TEXTS.includes(kind)) {
    const end = size < 0 ? next : next + size + LINE_END.length;
    return end <= bytes.length ? end : undefined;
  }
  if (LISTS.includes(kind)) return endOfAll(bytes, next, size);
  if (PAIRS.includes(kind)) return endOfAll(bytes, next, 2 * size);
  return next;
}

function endOfAll(bytes: Buffer, start: number, count: number): number | undefined {
  let end: number | undefined = start;
  for (let index = 0; index < count && end !== undefined; index += 1) end = endOf(bytes, end);
  return end;
}
