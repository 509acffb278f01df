import type { Socket } from 'node:net';
import type { Config } from '../../config.ts';
import { destroyAfter } from '../sockets.ts';

// Time for a client to read why its connection was rejected.
const LINGER_MS = 1_000;

const TEXT = 'too many connections';

const HTTP1_RESPONSE = [
  'HTTP/1.1 503 Service Unavailable',
  'content-type: text/plain',
  `content-length: ${TEXT.length}`,
  'retry-after: 5',
  'connection: close',
  '',
  TEXT,
].join('\r\n');

// An empty SETTINGS frame, then GOAWAY with the code ENHANCE_YOUR_CALM (RFC 9113, sections 6.5 and 6.8).
const HTTP2_FRAMES = Buffer.concat([
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
  Buffer.from([0, 0, 8 + TEXT.length, 7, 0, 0, 0, 0, 0]),
  Buffer.from([0, 0, 0, 0, 0, 0, 0, 11]),
  Buffer.from(TEXT),
]);

/** Counts open connections, in total and by remote address. A limit of 0 is off. */
export class ConnectionLimit {
  readonly #max: number;
  readonly #maxPerAddress: number;
  readonly #byAddress = new Map<string, number>();
  #count = 0;

  constructor({ connections, connectionsPerAddress }: Config['web']) {
    this.#max = connections;
    this.#maxPerAddress = connectionsPerAddress;
  }

  /** Counts a connection until it closes; returns false when a limit is reached. */
  tryAdd(socket: Socket): boolean {
    const address = socket.remoteAddress ?? '';
    const count = this.#byAddress.get(address) ?? 0;
    if (isReached(this.#max, this.#count) || isReached(this.#maxPerAddress, count)) return false;
    this.#count += 1;
    this.#byAddress.set(address, count + 1);
    socket.once('close', () => {
      this.#count -= 1;
      const left = (this.#byAddress.get(address) ?? 0) - 1;
      if (left > 0) this.#byAddress.set(address, left);
      else this.#byAddress.delete(address);
    });
    return true;
  }
}

/** Closes a connection above the limit, with an error in the protocol of its client. */
export function rejectConnection(socket: Socket, isHttp2: boolean): void {
  socket.on('error', () => {});
  socket.end(isHttp2 ? HTTP2_FRAMES : HTTP1_RESPONSE);
  socket.resume();
  destroyAfter(socket, LINGER_MS);
}

function isReached(limit: number, count: number): boolean {
  return limit > 0 && count >= limit;
}
