import type { ReconnectingPool } from './reconnecting-pool.ts';
import type { Pool, Sql } from './types.ts';

/**
 * Runs several statements in one transaction on a pool of one connection. `first` is sent together with `begin`.
 *
 * Not with the driver's own `begin`: when the connection is lost within the transaction, the driver rolls back on the
 * closed socket, which ends the process, and runs the remaining statements on the next connection, outside any
 * transaction or inside another one (https://github.com/porsager/postgres/issues/1208). Here none runs after a loss.
 */
export async function runTransaction<T>(
  pool: ReconnectingPool,
  first: (sql: Sql) => PromiseLike<unknown>,
  work: (sql: Sql) => Promise<T>,
): Promise<T> {
  const { generation } = pool;
  const isLost = () => pool.generation !== generation;
  const sql = guard(pool.sql, isLost);
  const settings = first(sql);
  const [begin, set] = await Promise.allSettled([sql`begin`, settings]);
  if (begin.status === 'rejected') throw begin.reason;
  try {
    if (set.status === 'rejected') throw set.reason;
    const result = await work(sql);
    const { command } = await sql`commit`;
    // PostgreSQL executes a commit after a failed statement as a rollback.
    if (command === 'ROLLBACK')
      throw new Error('a statement of the transaction failed and the error was ignored');
    return result;
  } catch (error) {
    if (!isLost()) await pool.sql`rollback`.catch(() => {});
    throw error;
  }
}

class ConnectionLost extends Error {
  override name = 'ConnectionLost';
  readonly code = 'CONNECTION_CLOSED';
}

/** The pool as long as its connection is not lost. */
function guard(pool: Pool, isLost: () => boolean): Pool {
  return new Proxy(pool, {
    apply(target, self, parameters) {
      if (isLost()) throw new ConnectionLost('the connection was lost within a transaction');
      return Reflect.apply(target, self, parameters);
    },
  });
}
