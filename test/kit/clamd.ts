import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';

/** What clamd finds, built at run time so that no file of the project contains it. */
export const EICAR = Buffer.from(
  ['X5O!P%@AP[4\\PZX54(P^)7CC)7}$', 'EICAR-STANDARD-', 'ANTIVIRUS-TEST-FILE!$H+H*'].join(''),
  'latin1',
);

/** A server with the protocol of clamd's INSTREAM that finds EICAR only, for faults that clamd cannot be made to have. */
export class FakeClamd {
  readonly port: number;
  /** Replies that files get instead of a verdict, the first one first. */
  readonly replies: string[] = [];
  /** Bytes that end the connection when they arrive, as if they had ended clamd. */
  crashOn: Buffer | undefined;
  /** Bytes received. */
  received = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Verdicts that are not sent yet; undefined while each is sent at once. */
  #held: (() => void)[] | undefined;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
    server.on('connection', (socket) => this.#serve(socket));
  }

  static async open(port = 0): Promise<FakeClamd> {
    const server = createServer();
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('the system gave no port');
    return new FakeClamd(server, address.port);
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Files whose verdict is held back. */
  get held(): number {
    return this.#held?.length ?? 0;
  }

  /** Sends no verdict until `release`. */
  hold(): void {
    this.#held ??= [];
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const send of held) send();
  }

  async close(): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#server, 'close');
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    let data = Buffer.alloc(0);
    let file = Buffer.alloc(0);
    socket.on('error', () => {});
    socket.once('close', () => this.#sockets.delete(socket));
    socket.on('data', (chunk) => {
      data = Buffer.concat([data, Buffer.from(chunk)]);
      this.received += chunk.length;
      if (data.subarray(0, 6).toString() === 'zPING\0') return void socket.end('PONG\0');
      if (this.crashOn !== undefined && data.includes(this.crashOn)) return void socket.destroy();
      if (data.subarray(0, 10).toString() === 'zINSTREAM\0') data = data.subarray(10);
      while (data.length >= 4) {
        const length = data.readUInt32BE();
        if (length === 0) return this.#reply(socket, file);
        if (data.length < 4 + length) return;
        // The end of the file suffices to find EICAR there.
        file = Buffer.concat([file, data.subarray(4, 4 + length)]).subarray(-4 * EICAR.length);
        if (file.length >= EICAR.length && file.indexOf(EICAR) >= 0) file = Buffer.from(EICAR);
        data = data.subarray(4 + length);
      }
    });
  }

  #reply(socket: Socket, file: Buffer): void {
    const verdict = file.indexOf(EICAR) >= 0 ? 'stream: Eicar-Test-Signature FOUND' : 'stream: OK';
    const send = () => void socket.end(`${this.replies.shift() ?? verdict}\0`);
    if (this.#held === undefined) send();
    else this.#held.push(send);
  }
}
