import { after, before, describe, it } from 'node:test';
import postgres from 'postgres';
import { type FreshDatabase, freshDatabase } from '../../test/kit/database.ts';
import { until } from '../../test/kit/until.ts';
import { FaultProxy } from '../../test/kit/wire.ts';
import { ReconnectingPool } from './reconnecting-pool.ts';
import { types } from './types.ts';

const BACKOFF_MS = 50;

describe('ReconnectingPool', () => {
  let database: FreshDatabase;
  let proxy: FaultProxy;

  before(async () => {
    database = await freshDatabase();
    proxy = await FaultProxy.open(Number(new URL(database.serviceUrl).port), false);
  });
  after(async () => {
    await proxy.close();
    await database.close();
  });

  function open(): ReconnectingPool {
    const url = new URL(database.serviceUrl);
    url.port = `${proxy.port}`;
    return new ReconnectingPool(
      (parts) =>
        postgres(url.href, {
          types,
          fetch_types: false,
          max: 1,
          backoff: () => BACKOFF_MS / 1_000,
          ...parts,
        }),
      0,
    );
  }

  it('settles the queries of a lost connection, and leaves no socket open', async () => {
    for (let round = 0; round < 10; round += 1) {
      const pool = open();
      const queries = Array.from({ length: 5 }, () => pool.sql`select 1`.then(String, String));
      await until(() => proxy.connections > 0);
      proxy.reset();
      await Promise.all(queries);
      await until(() => pool.sql`select 2`.then(Boolean, () => false));
      // The driver still connects for queries that were queued.
      await new Promise((resolve) => setTimeout(resolve, 2 * BACKOFF_MS));
      await pool.close();
      await until(() => proxy.connections === 0, 'the close of all connections', 2_000);
    }
  });
});
