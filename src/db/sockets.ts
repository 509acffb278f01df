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

// A connection that ends sooner was to a server that accepts none, such as a standby where a primary is wanted.
const MIN_LIFETIME_MS = 1_000;

/** Which of several hosts to connect to: the last one that served, then the others in turn. Shared by all pools. */
export class HostOrder {
  #at = 0;

  get at(): number {
    return this.#at;
  }

  /** To be called when a host does not serve. */
  skip(at: number): void {
    if (at === this.#at) this.#at += 1;
  }
}

/**
 * The sockets of one pool of the driver, which does not handle these cases itself:
 *
 * - A socket that was connecting when the pool ended is never closed.
 * - For queries that were queued when the pool ended, it connects again, forever if its sockets close without an error.
 *   They get a socket that fails, which rejects them.
 * - After a server that closes a connection before it responds, such as a proxy in front of a stopped PostgreSQL, it
 *   connects again at once and without end. Here the attempts are delayed, and fail after the time-out.
 * - With several hosts, it connects in turn, also to those that did not serve a moment ago, and never gives up, so that
 *   calls wait for their deadlines. Here `onGiveUp` is called after the time-out.
 */
export class Sockets {
  readonly #timeoutMs: number;
  readonly #hosts: HostOrder;
  readonly #onGiveUp: () => void;
  readonly #open = new Set<Socket>();
  #closed = false;
  /** Since when no host has served; 0 if one does. */
  #unservedSince = 0;
  // Attempts in a row that the server closed before it responded, and when the first one began.
  #unanswered = 0;
  #unansweredSince = 0;

  /** `timeoutMs`: time after which attempts fail; 0 for no limit. */
  constructor(timeoutMs: number, hosts = new HostOrder(), onGiveUp = () => {}) {
    this.#hosts = hosts;
    this.#onGiveUp = onGiveUp;
    this.#timeoutMs = timeoutMs === 0 ? Number.POSITIVE_INFINITY : timeoutMs;
  }

  /** Opens a socket. The driver adds TLS itself. */
  readonly open = async ({ host: hosts, port: ports, path }: Target): Promise<Duplex> => {
    const { at } = this.#hosts;
    const [host = '', port = 0] = [hosts[at % hosts.length], ports[at % hosts.length]];
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
    if (hosts.length > 1) this.#watch(socket, at);
    socket.once('close', (hasError) => {
      if (!hasError && socket.bytesRead === 0) this.#unanswered += 1;
    });
    // The driver uses both in errors, and the host to verify a certificate.
    return Object.assign(socket, { host, port });
  };

  #watch(socket: Socket, at: number): void {
    const openedAt = performance.now();
    socket.once('close', () => {
      const now = performance.now();
      if (socket.bytesRead > 0 && now - openedAt >= MIN_LIFETIME_MS) this.#unservedSince = 0;
      else {
        this.#hosts.skip(at);
        if (this.#unservedSince === 0) this.#unservedSince = openedAt;
        else if (now - this.#unservedSince > this.#timeoutMs) this.#onGiveUp();
      }
    });
  }

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
