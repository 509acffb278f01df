import { connect, type Socket } from 'node:net';

/** The driver's options with the address of the server. */
type Target = {
  readonly host: readonly string[];
  readonly port: readonly number[];
  /** Path of a Unix socket, or false. */
  readonly path: string | false;
};

/**
 * The sockets of one pool of the driver. The driver never closes a socket that was connecting when the pool ended, so
 * this does.
 */
export class Sockets {
  readonly #open = new Set<Socket>();
  #attempts = 0;
  #closed = false;

  /** Opens a socket to each host in turn. The driver adds TLS itself. */
  readonly open = ({ host: hosts, port: ports, path }: Target): Socket => {
    const at = this.#attempts % hosts.length;
    this.#attempts += 1;
    const [host = '', port = 0] = [hosts[at], ports[at]];
    const socket = path === false ? connect({ host, port }) : connect({ path });
    this.#open.add(socket);
    if (this.#closed) socket.destroy();
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
