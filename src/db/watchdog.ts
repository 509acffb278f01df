import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { ReconnectingPool } from './reconnecting-pool.ts';
import type { SilentSockets } from './sockets.ts';

const INTERVAL_MS = 2_000;
// After a pause of this process, time to read a response that has already arrived.
const READ_MS = 300;

type WatchedPool = { readonly pool: ReconnectingPool; readonly checks: SilentSockets[] };

/**
 * Detects a network that drops packets, or a proxy that forwards nothing: no error arrives, and TCP would resend for a
 * quarter of an hour. Regularly sends an empty query on a connection of its own and one in each pool.
 *
 * - Without a response on its own connection, it closes all connections on which nothing has arrived since then.
 * - With one, single connections can still be silent. They wait for the response to a statement that may run long, or to
 *   the empty query. So if nothing arrives on a connection for longer, and PostgreSQL runs no statement of its pool, it
 *   is closed.
 *
 * The queries of closed connections fail, and later ones connect again.
 */
export class Watchdog {
  readonly #own: ReconnectingPool;
  readonly #watched: readonly WatchedPool[];
  readonly #timeoutMs: number;
  readonly #intervalMs: number;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** `own`: a pool of one connection. `pools`: those to watch besides. */
  constructor(own: ReconnectingPool, pools: readonly ReconnectingPool[], timeoutMs: number, log: Logger) {
    this.#own = own;
    this.#watched = [own, ...pools].map((pool) => ({ pool, checks: [] }));
    this.#timeoutMs = timeoutMs;
    this.#intervalMs = Math.min(INTERVAL_MS, timeoutMs);
    this.#log = log;
    if (timeoutMs > 0) this.#schedule();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#own.close();
  }

  #schedule(): void {
    if (!this.#closed) this.#timer = setTimeout(() => void this.#check(), this.#intervalMs);
  }

  async #check(): Promise<void> {
    for (const { pool, checks } of this.#watched) {
      checks.push(pool.markSilent());
      if (checks.length > this.#minChecks(pool)) checks.shift();
      pool.ping();
    }
    const isResponding = await settlesWithin(this.#own.sql`select`, this.#timeoutMs);
    if (isResponding) await this.#closeSingle();
    else this.#closeSilent(this.#watched.map(({ checks }) => checks.at(-1)));
    this.#schedule();
  }

  /** Closes the silent connections of pools of which PostgreSQL runs no statement. */
  async #closeSingle(): Promise<void> {
    const suspects = this.#watched.filter(
      ({ pool, checks: [first, ...others] }) =>
        others.length + 1 === this.#minChecks(pool) && first !== undefined && first.count() > 0,
    );
    if (suspects.length === 0 || this.#closed) return;
    // Nothing arrives on a connection while its statement runs. One that waits for its client does not run: a result that
    // PostgreSQL cannot send would arrive, and the client would continue after a description that arrived.
    const query = this.#own.sql<{ name: string }[]>`
      select application_name as name
      from pg_stat_activity
      where application_name in ${this.#own.sql(suspects.map(({ pool }) => pool.name))}
        and state = 'active' and wait_event_type is distinct from 'Client'
        and query_start <= clock_timestamp() - ${this.#timeoutMs} * interval '1 ms'
    `;
    const running = query.catch(() => undefined);
    const rows = (await settlesWithin(running, this.#timeoutMs)) ? await running : undefined;
    if (rows === undefined) return;
    const active = new Set(rows.map(({ name }) => name));
    this.#closeSilent(suspects.filter(({ pool }) => !active.has(pool.name)).map(({ checks }) => checks[0]));
  }

  #closeSilent(checks: readonly (SilentSockets | undefined)[]): void {
    if (this.#closed) return;
    const closed = checks.reduce((sum, silent) => sum + (silent?.close() ?? 0), 0);
    if (closed > 0) this.#log.warn({ connections: closed }, 'PostgreSQL is silent; connections were closed');
  }

  // In so many checks, each connection of a pool that is idle gets the empty query, and has time to respond.
  #minChecks({ max }: ReconnectingPool): number {
    return max + Math.ceil(this.#timeoutMs / this.#intervalMs);
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
