import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { isPublished, RespSplitter } from './resp.ts';

/**
 * - `pass`: as if it were not there.
 * - `drop`: what was published on Redis does not arrive; everything else does.
 * - `stall`: connections stay open, and nothing comes through in either direction.
 * - `close`: new connections are closed at once, as a proxy does whose server is gone.
 */
export type FaultMode = 'pass' | 'drop' | 'stall' | 'close';

/** Stands between the instances and a server, and makes the network worse than it is. */
export class FaultProxy {
  readonly port: number;
  /** Messages left out so far. */
  dropped = 0;
  /** Connections that clients opened so far. */
  attempts = 0;
  readonly #server: Server;
  readonly #target: number;
  readonly #isRedis: boolean;
  readonly #sockets = new Set<Socket>();
  #mode: FaultMode = 'pass';

  private constructor(server: Server, port: number, target: number, isRedis: boolean) {
    this.#isRedis = isRedis;
    this.#server = server;
    this.port = port;
    this.#target = target;
    server.on('connection', (client) => this.#join(client));
  }

  static async open(target: number, isRedis: boolean): Promise<FaultProxy> {
    const server = createServer({ noDelay: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('the system gave no port');
    return new FaultProxy(server, address.port, target, isRedis);
  }

  set mode(mode: FaultMode) {
    this.#mode = mode;
    for (const socket of this.#sockets) if (mode === 'stall') socket.pause();
    for (const socket of this.#sockets) if (mode !== 'stall') socket.resume();
  }

  /** Connections through it. */
  get connections(): number {
    return this.#sockets.size / 2;
  }

  /** Breaks all connections at once: whoever holds one is told by a reset. */
  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async close(): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#server, 'close');
  }

  #join(client: Socket): void {
    this.attempts += 1;
    if (this.#mode === 'close') {
      client.on('error', () => {});
      client.end();
      client.resume();
      return;
    }
    const answers = new RespSplitter();
    const upstream = connect({ port: this.#target, host: '127.0.0.1', noDelay: true });
    this.#carry(client, upstream, (chunk) => upstream.write(chunk));
    this.#carry(upstream, client, (chunk) => {
      if (!this.#isRedis) {
        client.write(chunk);
        return;
      }
      for (const message of answers.split(chunk)) {
        if (this.#mode === 'drop' && isPublished(message)) this.dropped += 1;
        else client.write(message);
      }
    });
  }

  #carry(from: Socket, to: Socket, write: (chunk: Buffer) => void): void {
    this.#sockets.add(from);
    from.on('data', write);
    from.on('error', () => {});
    from.on('close', () => {
      this.#sockets.delete(from);
      to.destroy();
    });
    if (this.#mode === 'stall') from.pause();
  }
}
