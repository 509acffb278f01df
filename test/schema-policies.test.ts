// Row-level security as the second line of defence: what the service's role can read and write for a caller, whatever the
// statement. No statement here has a tenant or a user in its conditions.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import postgres from 'postgres';
import { type FreshDatabase, freshDatabase } from './kit/database.ts';

type Caller = { readonly tenant: number; readonly user?: number; readonly role?: string };

/** Users 10 and 11 are in the private channel 100 of tenant 1; 10 alone is in the public 101; the same users of tenant 2 are in 200. */
const MEMBER: Caller = { tenant: 1, user: 10 };
const STRANGER: Caller = { tenant: 1, user: 12 };
const OTHER_TENANT: Caller = { tenant: 2, user: 10 };
const SERVICE: Caller = { tenant: 1, role: 'service' };
const DENIED = { code: '42501' };

describe('row-level security', () => {
  let database: FreshDatabase;
  let owner: postgres.Sql;
  let service: postgres.Sql;

  before(async () => {
    database = await freshDatabase();
    owner = postgres(database.ownerUrl, { max: 1, onnotice() {} });
    service = postgres(database.serviceUrl, { max: 1, onnotice() {} });
    await fill(owner);
  });
  after(async () => {
    await Promise.all([owner.end(), service.end()]);
    await database.close();
  });

  it('shows each caller only the rows of its own channels and tenant', async () => {
    const expected: [Caller, Record<string, string[]>][] = [
      [MEMBER, seen(['100', '101'], ['100:10', '100:11', '101:10'], ['1000', '1001'], ['100', '101'])],
      [STRANGER, seen(['101'], [], [], [])],
      [OTHER_TENANT, seen(['200'], ['200:10', '200:11'], ['2000'], ['200'])],
      [SERVICE, seen(['100', '101'], ['100:10', '100:11', '101:10'], ['1000', '1001'], ['100', '101'])],
      [{ tenant: 3, user: 10 }, seen([], [], [], [])],
    ];
    for (const [caller, rows] of expected) assert.deepEqual(await look(caller), rows, JSON.stringify(caller));
  });

  it('shows activities and request ids only to their own user', async () => {
    const rows = (caller: Caller) =>
      as(caller, async (sql) => {
        const activities = await sql`select user_id from activity_feed order by user_id`;
        const keys = await sql`select user_id from idempotency_keys order by user_id`;
        return [activities.map((row) => row['user_id']), keys.map((row) => row['user_id'])];
      });
    assert.deepEqual(await rows(MEMBER), [['10'], ['10']]);
    assert.deepEqual(await rows(STRANGER), [[], []]);
    assert.deepEqual(await rows(SERVICE), [
      ['10', '11'],
      ['10', '11'],
    ]);
  });

  it('hides a channel from a user who left it, and still updates its member count', async () => {
    await as(MEMBER, async (sql) => {
      await sql`update channel_members set status = 'LEFT' where channel_id = 100 and user_id = 10`;
      assert.equal((await sql`select from channels where id = 100`).count, 0);
      assert.equal((await sql`select from messages`).count, 1);
      assert.equal((await sql`select from channel_members where channel_id = 100`).count, 1);
    });
    const [row] = await owner`select member_count from channels where id = 100`;
    assert.equal(row?.['member_count'], 1);
    await owner`update channel_members set status = 'ACTIVE' where channel_id = 100`;
  });

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

  it('fails on a setting that is not a number', async () => {
    const broken = service.begin(async (sql) => {
      await sql`select set_config('app.tenant_id', '1 or true', true)`;
      return sql`select id from channels`;
    });
    await assert.rejects(broken, { code: '22P02' });
  });

  it('shows the trending groups of each tenant separately, at most 100, without deleted messages', async () => {
    await owner`
      insert into channels (id, tenant_id, created_by, name, type, created_at, updated_at)
      select i, 4, 10, 'nhóm', 'GROUP', 1, 1 from generate_series(4001, 4120) as i
      union all
      select 5001, 5, 10, 'lẻ', 'GROUP', 1, 1
    `;
    await owner`
      insert into messages (channel_id, sender_id, tenant_id, content, is_deleted, created_at, updated_at)
      select c, 10, case c when 5001 then 5 else 4 end, 'x', d, now_ms() - a, 1
      from (values (4120, false, 0), (4120, false, 1), (4119, false, 0), (4119, true, 0), (4118, false, 90000000),
        (5001, false, 0)) as v(c, d, a)
    `;
    const trending = (caller: Caller) =>
      as(caller, async (sql) => {
        const rows = await sql<{ id: string; recent: string }[]>`
          select id, recent_message_count as recent from trending_channels
        `;
        return rows.map(({ id, recent }) => `${id}:${recent}`);
      });
    const many = await trending({ tenant: 4, user: 99 });
    assert.deepEqual(many.slice(0, 2), ['4120:2', '4119:1']);
    assert.ok(!many.includes('4118:1'));
    assert.equal(many.length, 100);
    assert.deepEqual(await trending({ tenant: 5, user: 99 }), ['5001:1']);
    // Also for the owner, who sees all tenants: a tenant with many groups must not displace the others.
    const shares = await owner`
      select tenant_id, count(*)::int as groups from trending_channels where tenant_id > 3 group by 1 order by 1
    `;
    assert.deepEqual(
      shares.map((row) => row['groups']),
      [100, 1],
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

  async function look(caller: Caller): Promise<Record<string, string[]>> {
    return as(caller, async (sql) => {
      const list = async (query: string) => (await sql.unsafe(query)).map((row) => String(row['id']));
      return seen(
        await list('select id from channels order by id'),
        await list("select channel_id || ':' || user_id as id from channel_members order by id"),
        await list('select id from messages order by id'),
        await list('select distinct channel_id as id from channel_events order by id'),
      );
    });
  }

  function as<T>(caller: Caller, work: (sql: postgres.TransactionSql) => Promise<T>): Promise<T> {
    return service
      .begin(async (sql) => {
        await sql`
        select
          set_config('app.tenant_id', ${String(caller.tenant)}, true),
          set_config('app.user_id', ${String(caller.user ?? '')}, true),
          set_config('app.role', ${caller.role ?? 'user'}, true)
      `;
        return { value: await work(sql) };
      })
      .then(({ value }) => value);
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

function seen(channels: string[], members: string[], messages: string[], events: string[]) {
  return { channels, members, messages, events };
}

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

async function fill(sql: postgres.Sql): Promise<void> {
  await sql.unsafe(`
    insert into channels (id, tenant_id, created_by, name, type, is_private, created_at, updated_at)
    values (100, 1, 10, 'kín', 'GROUP', true, 1, 1), (101, 1, 10, 'mở', 'GROUP', false, 1, 1),
      (200, 2, 10, 'kín', 'GROUP', true, 1, 1);
    insert into channel_members (channel_id, user_id, tenant_id, joined_at, created_at, updated_at)
    values (100, 10, 1, 1, 1, 1), (100, 11, 1, 1, 1, 1), (101, 10, 1, 1, 1, 1),
      (200, 10, 2, 1, 1, 1), (200, 11, 2, 1, 1, 1);
    insert into messages (id, channel_id, sender_id, tenant_id, content, created_at, updated_at)
    values (1000, 100, 10, 1, 'x', 1, 1), (1001, 101, 10, 1, 'x', 1, 1), (2000, 200, 10, 2, 'x', 1, 1);
    select setval('messages_id_seq', 3000);
    insert into channel_events (channel_id, seq, tenant_id, kind, created_at, payload)
    select id, 1, tenant_id, 'X', now_ms(), '' from channels;
    insert into attachments
      (message_id, channel_id, tenant_id, file_name, file_size, s3_key, s3_url, created_at, updated_at)
    select id, channel_id, tenant_id, 'a', 1, 'k', 'u', 1, 1 from messages;
    insert into activity_feed
      (tenant_id, user_id, action_type, actor_id, channel_id, description, "timestamp", created_at)
    select tenant_id, user_id, 'X', 1, channel_id, 'x', 1, 1 from channel_members where channel_id in (100, 200);
    insert into idempotency_keys (tenant_id, user_id, request_id, method, payload_hash, created_at)
    select tenant_id, user_id, gen_random_uuid(), 'X', '', 1 from channel_members where channel_id in (100, 200);
  `);
}
