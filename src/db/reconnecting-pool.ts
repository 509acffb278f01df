import type { Pool } from './database.ts';
import { Sockets } from './sockets.ts';

const CLOSE_SECONDS = 1;

/** Opens a pool of the driver with these options. */
type Open = (options: { readonly onclose: () => void; readonly socket: Sockets['open'] }) => Pool;

/**
 * A pool of the driver that is given up for a new one whenever one of its connections is lost. The driver cannot be
 * trusted with a connection it has lost: what is asked between the error and the close is never answered, and what
 * was about to be written then keeps it from connecting ever again
 * (https://github.com/porsager/postgres/pull/1215). Ending the old pool answers what hangs in it.
 */
export class ReconnectingPool {
  /** The pool, whichever it is at the moment. */
  readonly sql: Pool;
  readonly #open: Open;
  readonly #graceSeconds: number;
  #current: Pool;
  #sockets = new Sockets();
  #losses = 0;
  #closed = false;

  /** `graceSeconds`: how long what is under way on the other connections may take when one is lost. */
  constructor(open: Open, graceSeconds: number) {
    this.#open = open;
    this.#graceSeconds = graceSeconds;
    this.#current = this.#start();
    this.sql = new Proxy(this.#current, {
      apply: (_, self, parameters) => Reflect.apply(this.#current, self, parameters),
      get: (_, name) => Reflect.get(this.#current, name),
    });
  }

  /** Changes when a connection is lost. */
  get losses(): number {
    return this.#losses;
  }

  /** For when nothing is asked any more. */
  async close(): Promise<void> {
    this.#closed = true;
    await end(this.#current, this.#sockets, CLOSE_SECONDS);
  }

  #start(): Pool {
    const pool = this.#open({ onclose: () => this.#renew(pool), socket: this.#sockets.open });
    return pool;
  }

  #renew(lost: Pool): void {
    const sockets = this.#sockets;
    // One that could not be opened is no loss, and no reason to take the others away.
    if (lost !== this.#current || this.#closed || !sockets.takeLost()) return;
    this.#losses += 1;
    this.#sockets = new Sockets();
    this.#current = this.#start();
    void end(lost, sockets, this.#graceSeconds);
  }
}

// The driver never finishes by itself where a connection was lost.
async function end(pool: Pool, sockets: Sockets, timeout: number): Promise<void> {
  await pool.end({ timeout });
  sockets.close();
}
