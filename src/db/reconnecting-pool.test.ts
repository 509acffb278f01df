import { after, before, describe, it } from 'node:test';
import postgres from 'postgres';
import { type FreshDatabase, freshDatabase } from '../../test/kit/database.ts';
import { until } from '../../test/kit/until.ts';
import { FaultProxy } from '../../test/kit/wire.ts';
import { ReconnectingPool } from './reconnecting-pool.ts';
import { types } from './types.ts';

const BACKOFF_MS = 50;

describe('a connection', () => {
  let database: FreshDatabase;
  let wire: FaultProxy;

  before(async () => {
    database = await freshDatabase();
    wire = await FaultProxy.open(Number(new URL(database.serviceUrl).port), false);
  });
  after(async () => {
    await wire.close();
    await database.close();
  });

  function open(): ReconnectingPool {
    const url = new URL(database.serviceUrl);
    url.port = `${wire.port}`;
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

  it('answers what was asked when it is lost, and leaves no socket behind', async () => {
    for (let round = 0; round < 10; round += 1) {
      const connections = open();
      const asked = Array.from({ length: 5 }, () => connections.sql`select 1`.then(String, String));
      await until(() => wire.connections > 0);
      wire.reset();
      await Promise.all(asked);
      await until(() => connections.sql`select 2`.then(Boolean, () => false));
      // The driver goes on to connect for those that were still waiting.
      await new Promise((resolve) => setTimeout(resolve, 2 * BACKOFF_MS));
      await connections.close();
      await until(() => wire.connections === 0, 'the end of all connections', 2_000);
    }
  });
});
