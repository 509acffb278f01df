import { type ServerList, Sockets } from './sockets.ts';
import type { Pool } from './types.ts';

const CLOSE_SECONDS = 1;

/** Opens a pool of the driver with these options. */
type Open = (options: { readonly onclose: () => void; readonly socket: Sockets['open'] }) => Pool;

/**
 * A pool of the driver that is replaced whenever one of its connections is lost. The driver does not recover from a
 * lost connection: a query made between the socket's error and its close never settles, and data waiting to be written
 * at that moment prevents any further connection (https://github.com/porsager/postgres/pull/1215). Ending the old pool
 * settles its queries.
 */
export class ReconnectingPool {
  /** Delegates to the current pool. */
  readonly sql: Pool;
  readonly #open: Open;
  readonly #graceSeconds: number;
  readonly #connectTimeoutMs: number;
  readonly #servers: ServerList | undefined;
  #current: Pool;
  #sockets: Sockets;
  #generation = 0;
  #closed = false;

  /**
   * `graceSeconds`: time for queries on the other connections of a pool when one is lost. `connectTimeoutMs`: time after
   * which queries fail if the server closes all connections before it responds; 0 for no limit. `servers`: used in turn
   * instead of the host in the options of the driver.
   */
  constructor(open: Open, graceSeconds: number, connectTimeoutMs: number, servers?: ServerList) {
    this.#open = open;
    this.#graceSeconds = graceSeconds;
    this.#connectTimeoutMs = connectTimeoutMs;
    this.#servers = servers;
    this.#sockets = new Sockets(connectTimeoutMs, servers);
    this.#current = this.#start();
    this.sql = new Proxy(this.#current, {
      apply: (_, self, parameters) => Reflect.apply(this.#current, self, parameters),
      get: (_, name) => Reflect.get(this.#current, name),
    });
  }

  /** Number of the current pool: it changes when a connection is lost. */
  get generation(): number {
    return this.#generation;
  }

  /** The returned function closes the connections on which nothing has arrived in the meantime, and counts them. */
  markSilent(): () => number {
    return this.#sockets.markSilent();
  }

  /** To be called when no query is running. */
  async close(): Promise<void> {
    this.#closed = true;
    await end(this.#current, this.#sockets, CLOSE_SECONDS);
  }

  #start(): Pool {
    const pool = this.#open({ onclose: () => this.#renew(pool), socket: this.#sockets.open });
    return pool;
  }

  #renew(lost: Pool): void {
    // A connection that could not be opened is no reason to replace the others.
    if (lost === this.#current && !this.#closed && this.#sockets.takeLost()) this.#replace();
  }

  #replace(): void {
    const [lost, sockets] = [this.#current, this.#sockets];
    this.#generation += 1;
    this.#sockets = new Sockets(this.#connectTimeoutMs, this.#servers);
    this.#current = this.#start();
    void end(lost, sockets, this.#graceSeconds);
  }
}

// Without the time-out, the driver never ends a pool that has lost a connection.
async function end(pool: Pool, sockets: Sockets, timeout: number): Promise<void> {
  await pool.end({ timeout });
  sockets.close();
}
