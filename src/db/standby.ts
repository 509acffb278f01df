import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import postgres from 'postgres';
import type { Config } from '../config.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { ConnectionPool } from './connection-pool.ts';
import { openPool } from './open-pool.ts';
import type { ReconnectingPool } from './reconnecting-pool.ts';
import { ServerList } from './sockets.ts';
import type { Pool } from './types.ts';
import { Watchdog } from './watchdog.ts';

// An idle standby applies a commit within a few milliseconds. A read that would wait longer uses the primary.
const MAX_WAIT_MS = 50;
const CHECK_MS = 3;
// After a failure or a late standby, the time for which it is not used.
const PAUSE_MS = 1_000;

// Classes of errors that the statement does not cause: connections, read-only transactions, conflicts with the recovery,
// resources, locks, cancellations and a shutdown. Others would occur on the primary, too.
const OF_SERVER = /^(08|25|40|53|55|57|58|XX)/;

type StandbyParts = {
  readonly config: Config;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly url: string;
  readonly primary: Pool;
};

/**
 * Reads on a hot standby of the primary. Before a read, the standby must have applied what the primary had committed
 * when the read began, on whatever instance, so that each caller reads its own writes and those of others that it knows
 * of. The position of the primary (a LSN) costs a short query there, which concurrent reads share.
 */
export class Standby {
  readonly #connections: ConnectionPool;
  readonly #positions: ReconnectingPool;
  readonly #watchdog: Watchdog;
  readonly #primary: Pool;
  readonly #metrics: Metrics;
  readonly #log: Logger;
  #running: Promise<boolean> | undefined;
  #next: Promise<boolean> | undefined;
  #pausedUntil = 0;

  constructor({ config, log, metrics, url, primary }: StandbyParts) {
    const parts = { config, log, servers: new ServerList(url), url };
    const connections = Array.from({ length: config.db.standby?.connections ?? 1 }, (_, index) =>
      openPool(parts, `reads ${index}`, 1),
    );
    this.#connections = new ConnectionPool(connections, config.db.queueSize, metrics);
    this.#positions = openPool(parts, 'positions', 1);
    const watched = [...connections, this.#positions];
    this.#watchdog = new Watchdog(openPool(parts, 'watchdog', 1), watched, config.db.responseTimeoutMs, log);
    this.#primary = primary;
    this.#metrics = metrics;
    this.#log = log.child({ part: 'standby' });
  }

  /** Undefined if the standby is late or fails: then the primary has to be read. */
  async tryRead<T>(
    tenantId: bigint,
    signal: AbortSignal,
    work: (connection: ReconnectingPool) => Promise<T>,
  ): Promise<T | undefined> {
    if (Date.now() < this.#pausedUntil) return this.#count('paused');
    try {
      if (!(await this.#hasCaughtUp())) {
        this.#pausedUntil = Date.now() + PAUSE_MS;
        return this.#count('late');
      }
      const result = await this.#connections.use(tenantId, signal, work);
      this.#count('served');
      return result;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof postgres.PostgresError && !OF_SERVER.test(error.code)) throw error;
      this.#pausedUntil = Date.now() + PAUSE_MS;
      this.#log.warn({ err: error }, 'a read of the standby failed; the primary is used');
      return this.#count('failed');
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#watchdog.close(), this.#connections.close(), this.#positions.close()]);
  }

  #count(result: 'served' | 'late' | 'paused' | 'failed'): undefined {
    this.#metrics.standbyReads.inc({ result });
  }

  // A check that has started does not know what was committed since, so that later reads share the next one.
  #hasCaughtUp(): Promise<boolean> {
    if (this.#running === undefined) return this.#start();
    this.#next ??= this.#running.catch(() => {}).then(() => this.#start());
    return this.#next;
  }

  #start(): Promise<boolean> {
    const check = this.#check().finally(() => {
      this.#running = undefined;
    });
    this.#running = check;
    this.#next = undefined;
    return check;
  }

  async #check(): Promise<boolean> {
    const [primary] = await this.#primary<{ lsn: string; cluster: bigint }[]>`
      select pg_current_wal_flush_lsn()::text as lsn, system_identifier as cluster from pg_control_system()
    `;
    if (primary === undefined) return false;
    const end = Date.now() + MAX_WAIT_MS;
    for (;;) {
      // A server that was promoted is no standby of this primary any more, and that of another cluster never was.
      const [row] = await this.#positions.sql<{ caughtUp: boolean | null }[]>`
        select
          pg_is_in_recovery()
            and pg_last_wal_replay_lsn() >= ${primary.lsn}::text::pg_lsn
            and system_identifier = ${primary.cluster} as caught_up
        from pg_control_system()
      `;
      if (row?.caughtUp === true) return true;
      if (Date.now() >= end) return false;
      await sleep(CHECK_MS);
    }
  }
}
