import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

/** The driver's options with the address of the server. */
type Target = {
  readonly host: readonly string[];
  readonly port: readonly number[];
  /** Path of a Unix socket, or false. */
  readonly path: string | false;
};

// A peer that has disappeared is noticed after 15 s without traffic, and firewalls do not forget idle connections.
const KEEPALIVE_MS = 5_000;
const MIN_BACKOFF_MS = 50;
const MAX_BACKOFF_MS = 500;

/**
 * The sockets of one pool of the driver, which does not handle these cases itself:
 *
 * - A socket that was connecting when the pool ended is never closed.
 * - For queries that were queued when the pool ended, it connects again, forever if its sockets close without an error.
 *   They get a socket that fails, which rejects them.
 * - After a server that closes a connection before it responds, such as a proxy in front of a stopped PostgreSQL, it
 *   connects again at once and without end. Here the attempts are delayed, and fail after the time-out.
 */
export class Sockets {
  readonly #timeoutMs: number;
  readonly #open = new Set<Socket>();
  #attempts = 0;
  #closed = false;
  // Attempts in a row that the server closed before it responded, and when the first one began.
  #unanswered = 0;
  #unansweredSince = 0;

  /** `timeoutMs`: time after which attempts fail; 0 for no limit. */
  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs === 0 ? Number.POSITIVE_INFINITY : timeoutMs;
  }

  /** Opens a socket to each host in turn. The driver adds TLS itself. */
  readonly open = async ({ host: hosts, port: ports, path }: Target): Promise<Duplex> => {
    const at = this.#attempts % hosts.length;
    this.#attempts += 1;
    const [host = '', port = 0] = [hosts[at], ports[at]];
    for (const socket of this.#open) if (socket.bytesRead > 0) this.#unanswered = 0;
    if (this.#unanswered === 0) this.#unansweredSince = performance.now();
    else if (performance.now() - this.#unansweredSince > this.#timeoutMs) {
      this.#unanswered = 0;
      return failing('ECONNRESET', `${path || `${host}:${port}`} closes connections before it responds`);
    } else await sleep(Math.min(MIN_BACKOFF_MS * 2 ** (this.#unanswered - 1), MAX_BACKOFF_MS));
    if (this.#closed) return failing('CONNECTION_ENDED', 'the pool has ended');
    const socket = path === false ? connect({ host, port }) : connect({ path });
    socket.setKeepAlive(true, KEEPALIVE_MS);
    this.#open.add(socket);
    socket.once('close', (hasError) => {
      if (!hasError && socket.bytesRead === 0) this.#unanswered += 1;
    });
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

  /** The returned function closes the connections on which nothing has arrived in the meantime, and counts them. */
  markSilent(): () => number {
    const read = new Map([...this.#open].map((socket) => [socket, socket.bytesRead]));
    return () => {
      const silent = [...read].filter(([socket, bytes]) => socket.bytesRead === bytes && !socket.destroyed);
      for (const [socket] of silent)
        socket.destroy(Object.assign(new Error('PostgreSQL does not respond'), { code: 'ETIMEDOUT' }));
      return silent.length;
    };
  }

  close(): void {
    this.#closed = true;
    for (const socket of this.#open) socket.destroy();
  }
}

/** A connection that fails when the driver has written to it; before, the driver could not connect again. */
function failing(code: string, message: string): Duplex {
  const error = Object.assign(new Error(message), { code });
  const connection = new Duplex({
    read() {},
    write(_chunk, _encoding, done) {
      done();
      connection.destroy(error);
    },
  });
  return connection;
}
