import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

const CANCEL_CODE = 80_877_102;

/** A proxy of PostgreSQL that holds requests to cancel a statement, which clients send on connections of their own. */
export class CancelGate {
  readonly port: number;
  /** Requests that were not passed on yet. */
  readonly held: (() => void)[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, port: number, target: number) {
    this.#server = server;
    this.port = port;
    server.on('connection', (client) => {
      const upstream = connect({ port: target, host: '127.0.0.1', noDelay: true });
      for (const socket of [client, upstream]) this.#sockets.add(socket.on('error', () => {}));
      upstream.pipe(client);
      client.once('data', (first) => {
        const pass = () => {
          upstream.write(first);
          client.pipe(upstream);
        };
        if (first.length === 16 && first.readUInt32BE(4) === CANCEL_CODE) this.held.push(pass);
        else pass();
      });
    });
  }

  static async open(target: number): Promise<CancelGate> {
    const server = createServer({ noDelay: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('the system gave no port');
    return new CancelGate(server, address.port, target);
  }

  release(): void {
    for (const pass of this.held.splice(0)) pass();
  }

  /** New connections are refused from now on; others continue. */
  refuse(): void {
    this.#server.close();
  }

  async close(): Promise<void> {
    const closed = this.#server.listening ? once(this.#server, 'close') : undefined;
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
