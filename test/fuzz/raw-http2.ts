import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
const HEAD_BYTES = 9;

/** Types and flags of frames (RFC 9113, section 6). */
export const DATA = 0;
export const HEADERS = 1;
export const RST_STREAM = 3;
export const SETTINGS = 4;
export const PING = 6;
export const CONTINUATION = 9;
export const END_STREAM = 1;
export const END_HEADERS = 4;

export function frame(
  type: number,
  flags: number,
  streamId: number,
  payload: Buffer = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

/** A setting with its value, such as 4 for the initial window. */
export function settings(id: number, value: number): Buffer {
  const payload = Buffer.alloc(6);
  payload.writeUInt16BE(id, 0);
  payload.writeUInt32BE(value, 2);
  return frame(SETTINGS, 0, 0, payload);
}

/** Headers as HPACK literals without indexing (RFC 7541, section 6.2.2). */
export function headerBlock(headers: Readonly<Record<string, string>>): Buffer {
  const literals = Object.entries(headers).map(([name, value]) =>
    Buffer.concat([Buffer.from([0]), hpackString(name), hpackString(value)]),
  );
  return Buffer.concat(literals);
}

/** As many headers of different names, each with an empty value. */
export function emptyHeaders(count: number): Buffer {
  const literals = Array.from({ length: count }, (_, index) => {
    const name = `x-${index}`;
    return `\0${String.fromCharCode(name.length)}${name}\0`;
  });
  return Buffer.from(literals.join(''), 'latin1');
}

function hpackString(text: string): Buffer {
  const bytes = Buffer.from(text);
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest >>>= 7) length.push((rest & 127) | 128);
  return Buffer.concat([Buffer.from([...length, rest]), bytes]);
}

/** A connection that sends any bytes, and counts the frames that it receives. */
export class RawConnection implements Disposable {
  readonly #socket: Socket;
  readonly #counts = new Map<number, number>();
  #rest: Buffer = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
  }

  static async open(address: string): Promise<RawConnection> {
    const { hostname, port } = new URL(`http://${address}`);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    await once(socket, 'connect');
    return new RawConnection(socket);
  }

  /** Opens a connection of HTTP/2. */
  static async openHttp2(address: string, first = frame(SETTINGS, 0, 0)): Promise<RawConnection> {
    const connection = await RawConnection.open(address);
    await connection.send(PREFACE, first);
    return connection;
  }

  /** Waits until the system has taken the bytes; returns at once when the connection is closed. */
  async send(...chunks: readonly Buffer[]): Promise<void> {
    if (this.isClosed) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#socket.once('close', resolve);
    this.#socket.write(Buffer.concat(chunks), () => resolve());
    await promise;
    this.#socket.off('close', resolve);
  }

  get isClosed(): boolean {
    return this.#socket.destroyed || this.#socket.readableEnded;
  }

  received(type: number): number {
    return this.#counts.get(type) ?? 0;
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    let bytes = Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= HEAD_BYTES) {
      const end = HEAD_BYTES + bytes.readUIntBE(0, 3);
      if (bytes.length < end) break;
      const type = bytes[3] ?? 0;
      this.#counts.set(type, (this.#counts.get(type) ?? 0) + 1);
      bytes = bytes.subarray(end);
    }
    this.#rest = bytes;
  }
}
