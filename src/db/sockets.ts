import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';

/** The driver's options with the address of the server. */
type Target = {
  readonly host: readonly string[];
  readonly port: readonly number[];
  /** Path of a Unix socket, or false. */
  readonly path: string | false;
};

/**
 * The sockets of one pool of the driver. The driver never closes a socket that was connecting when the pool ended, so
 * this does. It also connects again for queries that were queued when the pool ended, forever if its sockets close
 * without an error: these get a socket that fails, which rejects their queries.
 */
export class Sockets {
  readonly #open = new Set<Socket>();
  #attempts = 0;
  #closed = false;

  /** Opens a socket to each host in turn. The driver adds TLS itself. */
  readonly open = ({ host: hosts, port: ports, path }: Target): Duplex => {
    if (this.#closed) return failing();
    const at = this.#attempts % hosts.length;
    this.#attempts += 1;
    const [host = '', port = 0] = [hosts[at], ports[at]];
    const socket = path === false ? connect({ host, port }) : connect({ path });
    this.#open.add(socket);
    // The driver uses both in errors, and the host to verify a certificate.
    return Object.assign(socket, { host, port });
  };

  /** Removes closed sockets. Returns whether one of them had been connected to PostgreSQL. */
  takeLost(): boolean {
    let lost = false;
    for (const socket of this.#open) {
      if (!socket.destroyed) continue;
      this.#open.delete(socket);
      if (socket.bytesRead > 0) lost = true;
    }
    return lost;
  }

  close(): void {
    this.#closed = true;
    for (const socket of this.#open) socket.destroy();
  }
}

/** A connection that fails once the driver listens to it. */
function failing(): Duplex {
  const connection = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  const error = Object.assign(new Error('the pool has ended'), { code: 'CONNECTION_ENDED' });
  setImmediate(() => connection.destroy(error));
  return connection;
}
