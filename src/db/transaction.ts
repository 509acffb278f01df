import type { Pool, Sql } from './database.ts';
import type { ReconnectingPool } from './reconnecting-pool.ts';

/**
 * Runs several statements in one transaction on a lane; all or none take effect. `first` goes along with `begin`.
 *
 * Not by the driver's own `begin`: where the connection is lost in between, that one rolls back on a socket that is
 * gone, which ends the process, and lets the rest of the work run on the next connection, outside any transaction or
 * inside somebody else's (https://github.com/porsager/postgres/issues/1208). Here nothing runs after a loss.
 */
export async function runTransaction<T>(
  lane: ReconnectingPool,
  first: (sql: Sql) => PromiseLike<unknown>,
  work: (sql: Sql) => Promise<T>,
): Promise<T> {
  const { losses } = lane;
  const isLost = () => lane.losses !== losses;
  const sql = guard(lane.sql, isLost);
  const settings = first(sql);
  const [begin, set] = await Promise.allSettled([sql`begin`, settings]);
  if (begin.status === 'rejected') throw begin.reason;
  try {
    if (set.status === 'rejected') throw set.reason;
    const result = await work(sql);
    const { command } = await sql`commit`;
    // What PostgreSQL makes of a commit after a statement failed.
    if (command === 'ROLLBACK') throw new Error('a statement of the transaction failed and nobody looked');
    return result;
  } catch (error) {
    if (!isLost()) await lane.sql`rollback`.catch(() => {});
    throw error;
  }
}

class ConnectionLost extends Error {
  override name = 'ConnectionLost';
  readonly code = 'CONNECTION_CLOSED';
}

/** The connection, for as long as it is the one it was. */
function guard(pool: Pool, isLost: () => boolean): Pool {
  return new Proxy(pool, {
    apply(target, self, parameters) {
      if (isLost()) throw new ConnectionLost('the connection was lost in the middle of a transaction');
      return Reflect.apply(target, self, parameters);
    },
  });
}
