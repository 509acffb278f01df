// Row-level security as the second line of defence: what the service's role can write for a caller, whatever the statement.
// No statement here has a tenant or a user in its conditions.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type postgres from 'postgres';
import { type FreshSchema, freshSchema } from './kit/database.ts';
import { asCaller, type Caller, fillTenants, MEMBER, SERVICE, STRANGER } from './kit/policy-fixture.ts';

const DENIED = { code: '42501' };

describe('row-level security of writes', () => {
  let schema: FreshSchema;
  let owner: postgres.Sql;
  let service: postgres.Sql;

  before(async () => {
    schema = await freshSchema(1);
    ({ owner, service } = schema);
    await fillTenants(owner);
  });
  after(() => schema.close());

  it('does not let a removed user restore the own membership', async () => {
    const restore = (caller: Caller) =>
      as(caller, async (sql) => {
        const { count } = await sql`
          update channel_members set status = 'ACTIVE' where channel_id = 100 and user_id = 10
        `;
        return count;
      });
    for (const status of ['REMOVED', 'LEFT']) {
      await owner`update channel_members set status = ${status} where channel_id = 100 and user_id = 10`;
      try {
        assert.equal(await restore(MEMBER), 0, status);
        assert.equal(await restore({ tenant: 1, user: 11 }), 1);
      } finally {
        await owner`update channel_members set status = 'ACTIVE' where channel_id = 100 and user_id = 10`;
      }
    }
    // A public group can be joined again.
    await owner`update channel_members set status = 'LEFT' where channel_id = 101 and user_id = 10`;
    await undone(MEMBER, async (sql) => {
      const { count } = await sql`
        update channel_members set status = 'ACTIVE' where channel_id = 101 and user_id = 10
      `;
      assert.equal(count, 1);
    });
    await owner`update channel_members set status = 'ACTIVE' where channel_id = 101 and user_id = 10`;
  });

  it('rejects writes into another tenant', async () => {
    const writes = [
      insertMessage(200, 10, 2),
      insertMessage(200, 10, 1),
      insertMember(200, 10, 2),
      insertMember(200, 10, 1),
      insertChannel(10, 2),
    ];
    for (const write of writes)
      for (const caller of [MEMBER, SERVICE])
        await assert.rejects(
          as(caller, (sql) => sql.unsafe(write)),
          DENIED,
          write,
        );
    const touched = await as(MEMBER, async (sql) => [
      (await sql`update channels set name = 'x' where id = 200`).count,
      (await sql`update messages set content = 'x' where channel_id = 200`).count,
      (await sql`update channel_members set role = 'OWNER' where channel_id = 200`).count,
      (await sql`delete from attachments where channel_id = 200`).count,
    ]);
    assert.deepEqual(touched, [0, 0, 0, 0]);
    await assert.rejects(
      as(MEMBER, (sql) => sql`update channels set tenant_id = 2 where id = 100`),
      DENIED,
    );
  });

  it('lets no statement make a message refer to a channel or message that does not exist', async () => {
    const message = (columns: string, values: string) =>
      `insert into messages (sender_id, tenant_id, content, created_at, updated_at, ${columns})
       values (10, 1, 'x', 1, 1, ${values})`;
    const writes = [
      message('channel_id', '987654'),
      message('channel_id, parent_id', '100, 987654'),
      message('channel_id, post_seq', '100, 987654'),
      'update messages set parent_id = 987654',
      'update messages set channel_id = 987654',
      'update messages set id = 987654',
      'delete from messages',
      'delete from channels',
      'truncate channels',
    ];
    for (const write of writes)
      for (const caller of [MEMBER, SERVICE])
        await assert.rejects(
          as(caller, (sql) => sql.unsafe(write)),
          // The privileges and policies, or the trigger that numbers messages.
          { code: /^(42501|23503)$/ },
          write,
        );
  });

  it('rejects posts and joins of non-members, and posts in the name of another user', async () => {
    const denied: [Caller, string][] = [
      [STRANGER, insertMessage(100, 12, 1)],
      [STRANGER, insertMessage(101, 12, 1)],
      [STRANGER, insertMember(100, 12, 1)],
      [STRANGER, insertMember(101, 13, 1)],
      [STRANGER, insertChannel(10, 1)],
      [MEMBER, insertMessage(100, 11, 1)],
    ];
    for (const [caller, write] of denied)
      await assert.rejects(
        as(caller, (sql) => sql.unsafe(write)),
        DENIED,
        write,
      );
  });

  it('allows users to join public channels, members to add others, and creators to add the first members', async () => {
    await undone(STRANGER, async (sql) => {
      await sql.unsafe(insertMember(101, 12, 1));
      await sql.unsafe(insertMessage(101, 12, 1));
    });
    await undone(MEMBER, (sql) => sql.unsafe(insertMember(100, 12, 1)));
    await undone(STRANGER, async (sql) => {
      await sql.unsafe(insertChannel(12, 1, 300));
      await sql.unsafe(`
        insert into channel_members (channel_id, user_id, tenant_id, joined_at, created_at, updated_at)
        values (300, 13, 1, 1, 1, 1), (300, 12, 1, 1, 1, 1)
      `);
      await sql.unsafe(insertMessage(300, 12, 1));
    });
  });

  it('rejects writes to the log, to deleted_posts and to the applied migrations', async () => {
    const writes = [
      `insert into channel_events (channel_id, seq, tenant_id, kind, created_at, payload) values (100, 9, 1, 'X', 1, '\\x')`,
      'delete from channel_events',
      'insert into deleted_posts values (100, 2, 1, 10)',
      `insert into schema_migrations values ('999_x.sql', 'x', 1)`,
      'delete from messages',
      'delete from channels',
    ];
    for (const write of writes)
      for (const caller of [MEMBER, SERVICE])
        await assert.rejects(
          as(caller, (sql) => sql.unsafe(write)),
          DENIED,
          write,
        );
  });

  it('allows one direct channel per pair in either order, one with oneself, and none without a peer', async () => {
    const direct = (creator: number, peer: number | null) => owner`
      insert into channels (tenant_id, created_by, entity_id, name, type, created_at, updated_at)
      values (7, ${creator}, ${peer}, 'x', 'DIRECT', 1, 1)
    `;
    await direct(10, 11);
    await direct(10, 10);
    await assert.rejects(direct(11, 10), { constraint_name: 'idx_direct_channel_unique' });
    await assert.rejects(direct(10, 10), { constraint_name: 'idx_direct_channel_unique' });
    await assert.rejects(direct(10, null), { constraint_name: 'direct_has_peer' });
  });

  function as<T>(caller: Caller, work: (sql: postgres.TransactionSql) => Promise<T>): Promise<T> {
    return asCaller(service, caller, work);
  }

  async function undone(
    caller: Caller,
    work: (sql: postgres.TransactionSql) => Promise<unknown>,
  ): Promise<void> {
    const rollback = new Error('rollback');
    const done = as(caller, async (sql) => {
      await work(sql);
      throw rollback;
    });
    await assert.rejects(done, (error) => error === rollback);
  }
});

function insertChannel(user: number, tenant: number, id = 999): string {
  return `insert into channels (id, tenant_id, created_by, name, type, is_private, created_at, updated_at)
    values (${id}, ${tenant}, ${user}, 'x', 'GROUP', true, 1, 1)`;
}

function insertMember(channel: number, user: number, tenant: number): string {
  return `insert into channel_members (channel_id, user_id, tenant_id, joined_at, created_at, updated_at)
    values (${channel}, ${user}, ${tenant}, 1, 1, 1)`;
}

function insertMessage(channel: number, user: number, tenant: number): string {
  return `insert into messages (channel_id, sender_id, tenant_id, content, created_at, updated_at)
    values (${channel}, ${user}, ${tenant}, 'x', now_ms(), now_ms())`;
}
