import { connect, type Socket } from 'node:net';

/** The part of the driver's options that says where to connect. */
type Target = {
  readonly host: readonly string[];
  readonly port: readonly number[];
  /** Of a Unix socket, where it is one. */
  readonly path: string | false;
};

/**
 * The sockets of one pool of the driver, to close those it forgets: it leaves open for ever what was being opened when
 * the pool ended.
 */
export class Sockets {
  readonly #open = new Set<Socket>();
  #attempts = 0;
  #closed = false;

  /** Opens one; of several hosts each in turn. The driver speaks TLS over it where it is asked to. */
  readonly open = ({ host: hosts, port: ports, path }: Target): Socket => {
    const at = this.#attempts % hosts.length;
    this.#attempts += 1;
    const [host = '', port = 0] = [hosts[at], ports[at]];
    const socket = path === false ? connect({ host, port }) : connect({ path });
    this.#open.add(socket);
    if (this.#closed) socket.destroy();
    // The driver names them in errors, and the host to whoever shows a certificate.
    return Object.assign(socket, { host, port });
  };

  /** Forgets those that have closed; whether PostgreSQL had ever said anything through one of them. */
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
