import type { Logger } from 'pino';
import postgres from 'postgres';
import type { Config } from '../config.ts';
import type { Caller } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { ConnectionPool } from './connection-pool.ts';
import { ReconnectingPool } from './reconnecting-pool.ts';
import { runTransaction } from './transaction.ts';
import { type Types, types } from './types.ts';

export type Sql = postgres.ISql<Types>;
export type Pool = postgres.Sql<Types>;

/** The part of a call the database needs: whose rights, how long, and when to stop. */
export type CallScope = {
  readonly caller: Caller;
  readonly signal: AbortSignal;
  readonly deadline: number | undefined;
};

/**
 * The connections to PostgreSQL, all as the service's role, which owns nothing. Statements for a caller run
 * in a transaction that carries the caller's tenant and user in settings that row-level security reads; the
 * other pools are for the functions that check rights by themselves.
 */
export class Database {
  /** For batches of messages. Without a caller's settings: row-level security shows it nothing, only functions work. */
  readonly writes: Pool;
  /** For reading the log and housekeeping, likewise by functions only; apart, so that neither waits for the other. */
  readonly log: Pool;
  /** For feeds of all tenants, who read more of the log than anybody and must keep nobody waiting. */
  readonly feed: Pool;
  readonly #pools: readonly ReconnectingPool[];
  readonly #lanes: ConnectionPool;
  readonly #maxDeadlineMs: number;

  constructor(config: Config, log: Logger, metrics: Metrics) {
    this.#maxDeadlineMs = config.call.maxDeadlineMs;
    const { write, event, db } = config;
    const writes = open(config, log, write.batchConnections);
    const events = open(config, log, event.connections);
    const feed = open(config, log, event.feedConnections, event.feedStatementMs);
    this.writes = writes.sql;
    this.log = events.sql;
    this.feed = feed.sql;
    this.#pools = [writes, events, feed];
    const lanes = Array.from({ length: db.connections }, () => open(config, log, 1));
    this.#lanes = new ConnectionPool(lanes, config.db.waitingCalls, metrics);
  }

  /**
   * Runs one statement with the caller's rights. Begin, settings, statement and commit leave in one tick and
   * so cost one round trip together.
   */
  async run<T extends readonly postgres.MaybeRow[]>(
    scope: CallScope,
    statement: (sql: Sql) => postgres.PendingQuery<T>,
  ): Promise<postgres.RowList<T>> {
    return this.#lanes.use(scope.caller.tenantId, scope.signal, async ({ sql: lane }) => {
      const settings = this.#settings(lane, scope);
      const begin = lane`begin`.execute();
      settings.execute();
      const query = statement(lane).execute();
      const commit = lane`commit`.execute();
      const stopCancelling = cancelOnAbort(query, scope.signal);
      const steps = await Promise.allSettled([begin, settings, query, commit]);
      await stopCancelling();
      for (const step of steps) if (step.status === 'rejected') throw step.reason;
      return query;
    });
  }

  /** Runs several statements in one transaction with the caller's rights; all or none take effect. */
  async transaction<T>(scope: CallScope, work: (sql: Sql) => Promise<T>): Promise<T> {
    return this.#lanes.use(scope.caller.tenantId, scope.signal, (lane) =>
      runTransaction(lane, (sql) => this.#settings(sql, scope), work),
    );
  }

  /** For when all calls are over. */
  async close(): Promise<void> {
    await Promise.all([this.#lanes.close(), ...this.#pools.map((pool) => pool.close())]);
  }

  // The deadline goes along as statement_timeout, so that PostgreSQL stops by itself what nobody waits for.
  #settings(sql: Sql, { caller, deadline, signal }: CallScope) {
    signal.throwIfAborted();
    const left = deadline === undefined ? this.#maxDeadlineMs : deadline - Date.now();
    if (left <= 0) throw errors.deadlinePassed();
    return sql`
      select
        set_config('app.tenant_id', ${caller.tenantId.toString()}, true),
        set_config('app.user_id', ${caller.userId.toString()}, true),
        set_config('app.role', ${caller.kind}, true),
        set_config('statement_timeout', ${Math.ceil(left).toString()}, true)
    `;
  }
}

function open(
  config: Config,
  log: Logger,
  max: number,
  statementMs = config.call.maxDeadlineMs,
): ReconnectingPool {
  const options = toOptions(config, log, statementMs);
  return new ReconnectingPool(
    (parts) => postgres(config.db.url, { ...options, ...parts, max }),
    max === 1 ? 0 : 1,
  );
}

function toOptions({ db, instance }: Config, log: Logger, statementMs: number) {
  return {
    prepare: db.prepare,
    connect_timeout: db.connectTimeoutMs / 1000,
    // The default grows to 20 s; a restarted database should be found at once.
    backoff: (retries: number) => Math.min(0.05 * 2 ** retries, 0.5),
    types,
    fetch_types: false,
    transform: postgres.camel,
    connection: {
      application_name: `discuss/${instance}`,
      statement_timeout: statementMs,
      // A frozen instance must not keep a channel's row locked.
      idle_in_transaction_session_timeout: 5_000,
    },
    onnotice: (notice: postgres.Notice) => log.debug({ notice: notice['message'] }, 'database notice'),
  };
}

/** Asks PostgreSQL to stop the query when the caller has gone; the returned function waits for that to be over. */
function cancelOnAbort(query: { cancel(): void }, signal: AbortSignal): () => Promise<void> {
  let cancelled: Promise<void> | undefined;
  const onAbort = () => {
    cancelled = Promise.resolve(query.cancel()).catch(() => {});
  };
  signal.addEventListener('abort', onAbort, { once: true });
  return async () => {
    signal.removeEventListener('abort', onAbort);
    await cancelled;
  };
}
