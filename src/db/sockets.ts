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

const DEFAULT_PORT = '5432';

// A peer that has disappeared is noticed after 15 s without traffic, and firewalls do not forget idle connections.
const KEEPALIVE_MS = 5_000;
const MIN_BACKOFF_MS = 50;
const MAX_BACKOFF_MS = 500;

// A connection that ends sooner was to a server that accepts none, such as a standby where a primary is wanted.
const MIN_LIFETIME_MS = 1_000;

/** Sockets on which nothing has arrived since a moment. */
export type SilentSockets = {
  count(): number;
  /** Returns how many were closed. */
  close(): number;
};

export type Server = { readonly host: string; readonly port: number };

/**
 * The servers of a connection URL, which may name several: the last one that served is used, then the others in turn.
 * Shared by all pools.
 */
export class ServerList {
  readonly #servers: readonly Server[];
  #at = 0;

  constructor(url: string) {
    const hosts = url
      .replace(/^[^/]*\/\//, '')
      .replace(/[/?].*$/, '')
      .replace(/^.*@/, '');
    this.#servers = decodeURIComponent(hosts)
      .split(',')
      .map((server) => {
        const [host = '', port = DEFAULT_PORT] = server.split(':');
        return { host, port: Number(port) };
      });
  }

  /** Undefined for a single server, whose address the driver knows. */
  get current(): Server | undefined {
    return this.#servers.length > 1 ? this.#servers[this.#at % this.#servers.length] : undefined;
  }

  /** To be called when a server does not serve. */
  skip(server: Server): void {
    if (server === this.current) this.#at += 1;
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
 * - Of several hosts in its options, it does not reject the first query of a connection that is lost. When it has connected
 *   again, the query gets an empty result. So its options have one host, and the socket connects to the current server.
 */
export class Sockets {
  readonly #timeoutMs: number;
  readonly #servers: ServerList | undefined;
  readonly #open = new Set<Socket>();
  #closed = false;
  // Attempts in a row that the server closed before it responded, and when the first one began.
  #unanswered = 0;
  #unansweredSince = 0;

  /** `timeoutMs`: time after which attempts fail; 0 for no limit. */
  constructor(timeoutMs: number, servers?: ServerList) {
    this.#servers = servers;
    this.#timeoutMs = timeoutMs === 0 ? Number.POSITIVE_INFINITY : timeoutMs;
  }

  /** Opens a socket. The driver adds TLS itself. */
  readonly open = async ({ host: hosts, port: ports, path }: Target): Promise<Duplex> => {
    const server = this.#servers?.current;
    const { host, port } = server ?? { host: hosts[0] ?? '', port: ports[0] ?? 0 };
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
    if (server !== undefined) this.#watch(socket, server);
    socket.once('close', (hasError) => {
      if (!hasError && socket.bytesRead === 0) this.#unanswered += 1;
    });
    // The driver uses both in errors, and the host to verify a certificate.
    return Object.assign(socket, { host, port });
  };

  #watch(socket: Socket, server: Server): void {
    const openedAt = performance.now();
    socket.once('close', () => {
      const hasServed = socket.bytesRead > 0 && performance.now() - openedAt >= MIN_LIFETIME_MS;
      if (!hasServed) this.#servers?.skip(server);
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

  get hasOpen(): boolean {
    return [...this.#open].some((socket) => !socket.destroyed);
  }

  /** The connections on which nothing arrives from now on. */
  markSilent(): SilentSockets {
    const read = new Map([...this.#open].map((socket) => [socket, socket.bytesRead]));
    const silent = () =>
      [...read.keys()].filter((socket) => socket.bytesRead === read.get(socket) && !socket.destroyed);
    return {
      count: () => silent().length,
      close: () => {
        const error = Object.assign(new Error('PostgreSQL does not respond'), { code: 'ETIMEDOUT' });
        const sockets = silent();
        for (const socket of sockets) socket.destroy(error);
        return sockets.length;
      },
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
