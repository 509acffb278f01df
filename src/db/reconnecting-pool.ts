import { type ServerList, type SilentSockets, Sockets } from './sockets.ts';
import type { Pool } from './types.ts';

const CLOSE_SECONDS = 1;

/** Opens a pool of the driver with these options. */
type Open = (options: { readonly onclose: () => void; readonly socket: Sockets['open'] }) => Pool;

type Options = {
  /** The application_name of its connections, which no other pool has. */
  readonly name: string;
  /** Maximum number of connections. */
  readonly max: number;
  /** Time for queries on the other connections of a pool when one is lost. */
  readonly graceSeconds: number;
  /** Time after which queries fail if the server closes all connections before it responds; 0 for no limit. */
  readonly connectTimeoutMs: number;
  /** Used in turn instead of the host in the options of the driver. */
  readonly servers?: ServerList;
};

/**
 * A pool of the driver that is replaced whenever one of its connections is lost. The driver does not recover from a
 * lost connection: a query made between the socket's error and its close never settles, and data waiting to be written
 * at that moment prevents any further connection (https://github.com/porsager/postgres/pull/1215). Ending the old pool
 * settles its queries.
 */
export class ReconnectingPool {
  /** Delegates to the current pool. */
  readonly sql: Pool;
  readonly name: string;
  readonly max: number;
  readonly #open: Open;
  readonly #options: Options;
  #current: Pool;
  #sockets: Sockets;
  #generation = 0;
  #isPinged = false;
  #closed = false;

  constructor(open: Open, options: Options) {
    this.#open = open;
    this.#options = options;
    this.name = options.name;
    this.max = options.max;
    this.#sockets = this.#newSockets();
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

  /** The connections on which nothing arrives from now on. */
  markSilent(): SilentSockets {
    return this.#sockets.markSilent();
  }

  /**
   * Sends an empty query, so that something arrives also on a connection that is not used; on another one each time.
   * Nothing happens if no connection is open or the last one has no response yet.
   */
  ping(): void {
    if (this.#isPinged || !this.#sockets.hasOpen) return;
    this.#isPinged = true;
    const settle = () => {
      this.#isPinged = false;
    };
    this.sql`select`.then(settle, settle);
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
    this.#sockets = this.#newSockets();
    this.#current = this.#start();
    void end(lost, sockets, this.#options.graceSeconds);
  }

  #newSockets(): Sockets {
    return new Sockets(this.#options.connectTimeoutMs, this.#options.servers);
  }
}

// Without the time-out, the driver never ends a pool that has lost a connection.
async function end(pool: Pool, sockets: Sockets, timeout: number): Promise<void> {
  await pool.end({ timeout });
  sockets.close();
}
