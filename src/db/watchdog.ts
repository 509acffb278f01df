import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { ReconnectingPool } from './reconnecting-pool.ts';

const INTERVAL_MS = 2_000;
// After a pause of this process, time to read a response that has already arrived.
const READ_MS = 300;

/**
 * Detects a network that drops packets, or a proxy that forwards nothing: no error arrives, and TCP would resend for a
 * quarter of an hour. Regularly sends an empty query on a connection of its own. Without a response, it closes that and
 * all other connections on which nothing has arrived since then; their queries fail, and later ones connect again.
 */
export class Watchdog {
  readonly #own: ReconnectingPool;
  readonly #pools: readonly ReconnectingPool[];
  readonly #timeoutMs: number;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** `own`: a pool of one connection. `pools`: those to watch besides. */
  constructor(own: ReconnectingPool, pools: readonly ReconnectingPool[], timeoutMs: number, log: Logger) {
    this.#own = own;
    this.#pools = [own, ...pools];
    this.#timeoutMs = timeoutMs;
    this.#log = log;
    if (timeoutMs > 0) this.#schedule();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#own.close();
  }

  #schedule(): void {
    if (!this.#closed)
      this.#timer = setTimeout(() => void this.#check(), Math.min(INTERVAL_MS, this.#timeoutMs));
  }

  async #check(): Promise<void> {
    const closers = this.#pools.map((pool) => pool.markSilent());
    const isResponding = await settlesWithin(this.#own.sql`select`, this.#timeoutMs);
    if (!isResponding && !this.#closed) {
      const closed = closers.reduce((sum, close) => sum + close(), 0);
      if (closed > 0)
        this.#log.warn({ connections: closed }, 'PostgreSQL is silent; connections were closed');
    }
    this.#schedule();
  }
}

/** Whether the query succeeds or fails in time; an error is a response, too. */
async function settlesWithin(query: PromiseLike<unknown>, ms: number): Promise<boolean> {
  let isSettled = false;
  const stop = new AbortController();
  const settle = () => {
    isSettled = true;
    stop.abort();
  };
  query.then(settle, settle);
  await sleep(ms, undefined, { signal: stop.signal }).catch(() => {});
  if (!isSettled) await sleep(READ_MS);
  return isSettled;
}
