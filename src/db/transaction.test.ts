import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import type { CallScope, Database } from './database.ts';

const ana: As = { userId: 1n, tenantId: 1n };

describe('Database.transaction', () => {
  let the: App;
  let db: Database;
  let channelId: bigint;
  const scope: CallScope = {
    caller: { kind: 'user', userId: 1n, tenantId: 1n, name: 'Ana', roles: new Set() },
    signal: new AbortController().signal,
    deadline: undefined,
  };

  before(async () => {
    the = await app({ DATABASE_CONNECTIONS: '1' });
    const { deps } = the.instances[0] ?? assert.fail();
    db = deps.db;
    const { channel } = await the.client(ChannelService, ana).createChannel({ name: 'Một' });
    channelId = channel?.id ?? 0n;
  });
  after(() => the.close());

  async function nameOf(): Promise<string> {
    const [row] = await the.owner<{ name: string }[]>`select name from channels where id = ${channelId}`;
    return row?.name ?? '';
  }

  it('runs no statement after its connection is lost, and the next transaction works', async () => {
    let after: unknown;
    const lost = db.transaction(scope, async (sql) => {
      await sql`update channels set name = 'Hai' where id = ${channelId}`;
      const [own] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
      await the.owner`select pg_terminate_backend(${own?.pid ?? 0}, 5000)`;
      await new Promise((resolve) => setTimeout(resolve, 50));
      try {
        await sql`update channels set description = 'Ba' where id = ${channelId}`;
      } catch (error) {
        after = error;
        throw error;
      }
    });
    // The error depends on whether the driver already knew of the loss.
    await assert.rejects(lost, { code: /^(CONNECTION_CLOSED|ECONNRESET|EPIPE)$/ });
    assert.ok(after !== undefined);
    assert.equal(await nameOf(), 'Một');
    await db.transaction(scope, (sql) => sql`update channels set name = 'Bốn' where id = ${channelId}`);
    assert.equal(await nameOf(), 'Bốn');
  });

  it('rejects when one of its statements failed and the error was ignored', async () => {
    const failed = db.transaction(scope, async (sql) => {
      await sql`update channels set name = 'Năm' where id = ${channelId}`;
      await sql`select 1 / 0`.catch(() => {});
    });
    await assert.rejects(failed, /the error was ignored/);
    assert.equal(await nameOf(), 'Bốn');
  });
});
