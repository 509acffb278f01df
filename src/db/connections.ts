import type { Pool } from './database.ts';

const CLOSE_SECONDS = 1;

/**
 * A pool of the driver that is given up for a new one whenever one of its connections is lost. The driver cannot be
 * trusted with a connection it has lost: what is asked between the error and the close is never answered, and what
 * was about to be written then keeps it from connecting ever again
 * (https://github.com/porsager/postgres/pull/1215). Ending the old pool answers what hangs in it.
 */
export class Connections {
  /** The pool, whichever it is at the moment. */
  readonly sql: Pool;
  readonly #open: (onclose: () => void) => Pool;
  readonly #graceSeconds: number;
  #current: Pool;
  #losses = 0;
  #closed = false;

  /** `graceSeconds`: how long what is under way on the other connections may take when one is lost. */
  constructor(open: (onclose: () => void) => Pool, graceSeconds: number) {
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

  /** For when nothing is asked any more; the driver never finishes by itself where a connection was lost before. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#current.end({ timeout: CLOSE_SECONDS });
  }

  #start(): Pool {
    const pool = this.#open(() => this.#renew(pool));
    return pool;
  }

  #renew(pool: Pool): void {
    if (pool !== this.#current || this.#closed) return;
    this.#losses += 1;
    this.#current = this.#start();
    void pool.end({ timeout: this.#graceSeconds });
  }
}
