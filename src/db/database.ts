import type { DescMethod } from '@bufbuild/protobuf';
import type { Logger } from 'pino';
import postgres from 'postgres';
import type { Config } from '../config.ts';
import type { Caller } from '../rpc/call.ts';
import { roleOf } from '../rpc/caller.ts';
import { errors } from '../rpc/errors.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { type Tracer, traced } from '../telemetry/tracing.ts';
import { cancelOnAbort } from './cancel.ts';
import { ConnectionPool } from './connection-pool.ts';
import { KeyedMutex } from './keyed-mutex.ts';
import { openPool } from './open-pool.ts';
import type { ReconnectingPool } from './reconnecting-pool.ts';
import { ServerList } from './sockets.ts';
import { Standby } from './standby.ts';
import { runTransaction } from './transaction.ts';
import type { Pool, Sql } from './types.ts';
import { Watchdog } from './watchdog.ts';

/**
 * What a call locks in PostgreSQL: the id of a channel, or a text. Of the calls of a tenant that lock the same, one at a
 * time has a connection.
 */
export type Lock = bigint | string;

// A call that waits longer for a lock gives its connection to other calls and tries again until its deadline. Below
// deadlock_timeout (1 s), so that this also resolves deadlocks.
const LOCK_TIMEOUT_MS = 750;

const STANDBY_SPAN = {
  name: 'PostgreSQL standby',
  kind: 'client',
  attributes: { 'db.system.name': 'postgresql' },
} as const;
const SPAN = { name: 'PostgreSQL', kind: 'client', attributes: { 'db.system.name': 'postgresql' } } as const;

/** The part of a call that the database needs. */
export type CallScope = {
  /** Undefined for jobs. */
  readonly method?: DescMethod;
  readonly caller: Caller;
  readonly signal: AbortSignal;
  readonly deadline: number | undefined;
};

/**
 * The connections to PostgreSQL, all as the service's role, which owns nothing. Statements for a caller run in a
 * transaction with the caller's tenant and user in settings that row-level security reads. The other pools have no
 * such settings, so that row-level security shows them no rows: they call functions that check access themselves.
 */
export class Database {
  /** For batches of messages. */
  readonly writes: Pool;
  /** For reading the event log and for jobs; separate, so that they and writes do not wait for each other. */
  readonly log: Pool;
  /** For tenant streams, whose long reads of the event log must not delay others. */
  readonly tenantStreams: Pool;
  readonly #pools: readonly ReconnectingPool[];
  readonly #connections: ConnectionPool;
  readonly #mutex: KeyedMutex;
  readonly #standby: Standby | undefined;
  readonly #watchdog: Watchdog;
  readonly #maxDeadlineMs: number;
  readonly #tracer: Tracer | undefined;

  constructor(config: Config, log: Logger, metrics: Metrics, tracer?: Tracer) {
    this.#tracer = tracer;
    this.#maxDeadlineMs = config.call.maxDeadlineMs;
    const { write, event, db } = config;
    const parts = { config, log, servers: new ServerList(db.url), url: db.url };
    const writes = openPool(parts, 'writes', write.batchConnections);
    const events = openPool(parts, 'log', event.connections);
    const tenantStreams = openPool(
      parts,
      'tenant streams',
      event.tenantStreamConnections,
      event.tenantStreamStatementTimeoutMs,
    );
    this.writes = writes.sql;
    this.log = events.sql;
    this.tenantStreams = tenantStreams.sql;
    this.#pools = [writes, events, tenantStreams];
    const connections = Array.from({ length: db.connections }, (_, index) =>
      openPool(parts, `calls ${index}`, 1),
    );
    this.#connections = new ConnectionPool(connections, config.db.queueSize, metrics);
    this.#mutex = new KeyedMutex(config.db.queueSize);
    if (db.standby !== undefined)
      this.#standby = new Standby({ config, log, metrics, url: db.standby.url, primary: this.log });
    const watched = [...this.#pools, ...connections];
    this.#watchdog = new Watchdog(openPool(parts, 'watchdog', 1), watched, db.responseTimeoutMs, log);
  }

  /**
   * Runs one statement with the caller's access. Begin, settings, statement and commit are sent in one tick, and so
   * take one round trip together.
   */
  async run<T extends readonly postgres.MaybeRow[]>(
    scope: CallScope,
    statement: (sql: Sql) => postgres.PendingQuery<T>,
  ): Promise<postgres.RowList<T>> {
    return this.#retry(scope, (connection) => this.#runOn(connection, scope, statement));
  }

  /**
   * The same as `run` for a statement that writes and locks nothing: on the standby, if there is one and it has applied
   * everything that was committed before this call.
   */
  async read<T extends readonly postgres.MaybeRow[]>(
    scope: CallScope,
    statement: (sql: Sql) => postgres.PendingQuery<T>,
  ): Promise<postgres.RowList<T>> {
    const { caller, signal } = scope;
    const rows = await this.#standby?.tryRead(caller.tenantId, signal, (connection) =>
      traced(this.#tracer, STANDBY_SPAN, () => this.#runOn(connection, scope, statement)),
    );
    return rows ?? this.run(scope, statement);
  }

  /**
   * Runs several statements in one transaction with the caller's access. `work` runs again when a lock is not free in
   * time, so it must have no other effects.
   */
  async transaction<T>(scope: CallScope, work: (sql: Sql) => Promise<T>): Promise<T> {
    return this.#retry(scope, (connection) =>
      runTransaction(connection, (sql) => this.#settings(sql, scope), work),
    );
  }

  /** The same as `transaction` for statements that lock something: one at a time for each lock. */
  async lockingTransaction<T>(scope: CallScope, lock: Lock, work: (sql: Sql) => Promise<T>): Promise<T> {
    const { caller, signal } = scope;
    return this.#mutex.run(caller.tenantId, `${lock}`, signal, () => this.transaction(scope, work));
  }

  /** Runs a statement for several callers of a tenant, which checks their access itself, on a connection of calls. */
  async runForCallers<T extends readonly postgres.MaybeRow[]>(
    tenantId: bigint,
    statement: (sql: Sql) => postgres.PendingQuery<T>,
  ): Promise<postgres.RowList<T>> {
    return this.#connections.use(tenantId, new AbortController().signal, async ({ sql }) => statement(sql));
  }

  /** To be called when all calls have ended. */
  async close(): Promise<void> {
    await Promise.all([
      this.#watchdog.close(),
      this.#standby?.close(),
      this.#connections.close(),
      ...this.#pools.map((pool) => pool.close()),
    ]);
  }

  async #runOn<T extends readonly postgres.MaybeRow[]>(
    { sql }: ReconnectingPool,
    scope: CallScope,
    statement: (sql: Sql) => postgres.PendingQuery<T>,
  ): Promise<postgres.RowList<T>> {
    const settings = this.#settings(sql, scope);
    const begin = sql`begin`.execute();
    settings.execute();
    const query = statement(sql).execute();
    const commit = sql`commit`.execute();
    const stopCancelling = cancelOnAbort(settings, query, scope.signal);
    const steps = await Promise.allSettled([begin, settings, query, commit]);
    await stopCancelling();
    for (const step of steps) if (step.status === 'rejected') throw step.reason;
    return query;
  }

  async #retry<T>(
    { caller, signal }: CallScope,
    work: (connection: ReconnectingPool) => Promise<T>,
  ): Promise<T> {
    for (;;)
      try {
        return await traced(this.#tracer, SPAN, () => this.#connections.use(caller.tenantId, signal, work));
      } catch (error) {
        if (!isLockTimeout(error)) throw error;
      }
  }

  // The deadline is sent as statement_timeout, so that PostgreSQL itself stops a statement whose caller has given up.
  #settings(sql: Sql, { method, caller, deadline, signal }: CallScope) {
    signal.throwIfAborted();
    // A stream's deadline can be later than PostgreSQL can represent.
    const left = Math.min((deadline ?? Number.POSITIVE_INFINITY) - Date.now(), this.#maxDeadlineMs);
    if (left <= 0) throw errors.deadlineExceeded();
    return sql`
      select
        set_config('app.tenant_id', ${caller.tenantId.toString()}, true),
        set_config('app.user_id', ${caller.userId.toString()}, true),
        set_config('app.role', ${roleOf(caller, method)}, true),
        set_config('statement_timeout', ${Math.ceil(left).toString()}, true),
        set_config('lock_timeout', ${LOCK_TIMEOUT_MS.toString()}, true)
    `;
  }
}

/** Whether a statement failed because a lock was not free in time. */
export function isLockTimeout(error: unknown): boolean {
  return error instanceof postgres.PostgresError && error.code === '55P03';
}

/** Whether an item of a batch caused the error: data exceptions (22) and integrity violations (23), no others. */
export function isAboutOneItem(error: unknown): boolean {
  return error instanceof postgres.PostgresError && /^2[23]/.test(error.code);
}
