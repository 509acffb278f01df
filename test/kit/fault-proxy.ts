import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { isPublished, RespSplitter } from './resp.ts';

/**
 * - `pass`: as if it were not there.
 * - `drop`: what was published on Redis does not arrive; everything else does.
 * - `stall`: connections stay open, and nothing comes through in either direction.
 * - `close`: new connections are closed at once, as a proxy does whose server is gone.
 * - `slow`: every chunk of a connection arrives later, before the next one is read.
 * - `down`: connections are reset, also new ones.
 */
export type FaultMode = 'pass' | 'drop' | 'stall' | 'close' | 'slow' | 'down';

const SLOW_MS = 50;
/** The message Flush of PostgreSQL's protocol, which follows Describe. */
const FLUSH = Buffer.from('H\0\0\0\x04', 'latin1');

/** Stands between the instances and a server, and makes the network worse than it is. */
export class FaultProxy {
  readonly port: number;
  /** Messages left out so far. */
  dropped = 0;
  /** Connections that clients opened so far. */
  attempts = 0;
  /** Connections forgotten for a description so far. */
  forgottenDescriptions = 0;
  readonly #server: Server;
  readonly #target: number;
  readonly #host: string;
  readonly #isRedis: boolean;
  readonly #sockets = new Set<Socket>();
  readonly #clients = new Map<Socket, { readonly upstream: Socket; first: string }>();
  /** Sockets from which nothing is read until their last chunk was written. */
  readonly #waiting = new Set<Socket>();
  #mode: FaultMode = 'pass';
  #describing: string | undefined;

  private constructor(server: Server, port: number, target: number, host: string, isRedis: boolean) {
    this.#isRedis = isRedis;
    this.#server = server;
    this.port = port;
    this.#target = target;
    this.#host = host;
    server.on('connection', (client) => this.#join(client));
  }

  static async open(target: number, isRedis: boolean, host = '127.0.0.1'): Promise<FaultProxy> {
    const server = createServer({ noDelay: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('the system gave no port');
    return new FaultProxy(server, address.port, target, host, isRedis);
  }

  set mode(mode: FaultMode) {
    this.#mode = mode;
    if (mode === 'down') this.reset();
    for (const socket of this.#sockets) {
      if (mode === 'stall') socket.pause();
      else if (!this.#waiting.has(socket)) socket.resume();
    }
  }

  /** Connections through it. */
  get connections(): number {
    return this.#sockets.size / 2;
  }

  /** Breaks all connections at once: whoever holds one is told by a reset. */
  reset(): void {
    // A reset of a socket that is being closed leaks its handle, and the process would not end.
    for (const socket of this.#sockets)
      if (socket.writableEnded) socket.destroy();
      else socket.resetAndDestroy();
  }

  /**
   * Its connections stay open and silent for good, as behind a firewall that has forgotten them. New ones follow the mode.
   * `text`: only those whose first chunk contains this text, such as an application_name. Returns how many.
   */
  forget(text = ''): number {
    const forgotten = [...this.#clients].filter(([, { first }]) => first.includes(text));
    for (const [client, { upstream }] of forgotten) this.#silence(client, upstream);
    return forgotten.length;
  }

  /**
   * The same for the next connection on which a client of PostgreSQL has sent a statement to be described: PostgreSQL then waits
   * for its execution.
   */
  forgetDescription(text: string): void {
    this.#describing = text;
  }

  async close(): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#server, 'close');
  }

  #silence(...sockets: Socket[]): void {
    for (const socket of sockets) {
      socket.pause();
      this.#waiting.add(socket);
    }
  }

  #join(client: Socket): void {
    this.attempts += 1;
    if (this.#mode === 'close') {
      client.on('error', () => {});
      client.end();
      client.resume();
      return;
    }
    if (this.#mode === 'down') {
      client.on('error', () => {}).resetAndDestroy();
      return;
    }
    const replies = new RespSplitter();
    const upstream = connect({ port: this.#target, host: this.#host, noDelay: true });
    const entry = { upstream, first: '' };
    this.#clients.set(client, entry);
    client.once('data', (chunk) => {
      entry.first = chunk.toString('latin1');
    });
    client.once('close', () => this.#clients.delete(client));
    this.#carry(client, upstream, (chunk) => [chunk]);
    client.on('data', (chunk) => {
      if (this.#describing === undefined || !entry.first.includes(this.#describing)) return;
      if (!chunk.subarray(-FLUSH.length).equals(FLUSH)) return;
      this.#describing = undefined;
      this.forgottenDescriptions += 1;
      this.#silence(client, upstream);
    });
    this.#carry(upstream, client, (chunk) => (this.#isRedis ? this.#keep(replies.split(chunk)) : [chunk]));
  }

  #keep(messages: readonly Buffer[]): Buffer[] {
    const kept = messages.filter((message) => this.#mode !== 'drop' || !isPublished(message));
    this.dropped += messages.length - kept.length;
    return kept;
  }

  #carry(from: Socket, to: Socket, keep: (chunk: Buffer) => readonly Buffer[]): void {
    this.#sockets.add(from);
    const write = (chunk: Buffer) => {
      for (const part of keep(chunk)) to.write(part);
      if (to.writableNeedDrain) this.#pause(from, (resume) => to.once('drain', resume));
    };
    from.on('data', (chunk) => {
      if (this.#mode !== 'slow') return write(chunk);
      this.#pause(from, (resume) => setTimeout(() => [resume(), write(chunk)], SLOW_MS));
    });
    from.on('error', () => {});
    from.on('close', () => {
      this.#sockets.delete(from);
      this.#waiting.delete(from);
      // After the last chunk, if that is delayed.
      if (this.#mode === 'slow') setTimeout(() => to.destroySoon(), SLOW_MS);
      else to.destroySoon();
    });
    if (this.#mode === 'stall') from.pause();
  }

  #pause(socket: Socket, until: (resume: () => void) => void): void {
    socket.pause();
    this.#waiting.add(socket);
    until(() => {
      this.#waiting.delete(socket);
      if (this.#mode !== 'stall') socket.resume();
    });
  }
}
