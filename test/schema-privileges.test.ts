// The protection of the schema: row-level security on every table, and what roles own and may execute.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import postgres from 'postgres';
import { type FreshSchema, freshSchema } from './kit/database.ts';

/** Tables without tenant data. */
const WITHOUT_TENANT = ['schema_migrations'];

describe('the protection of the schema', () => {
  let schema: FreshSchema;
  let owner: postgres.Sql;
  let service: postgres.Sql;

  before(async () => {
    schema = await freshSchema(1);
    ({ owner, service } = schema);
    await fillEveryTable(owner);
  });
  after(() => schema.close());

  it('has tenant_id and forced row-level security on every table', async () => {
    const rows = await owner<{ name: string; forced: boolean; tenant: boolean }[]>`
      select
        c.relname as name,
        c.relrowsecurity and c.relforcerowsecurity as forced,
        exists (
          select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and a.attnotnull
        ) as tenant
      from pg_class c
      where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
    `;
    assert.ok(rows.length >= 9);
    for (const { name, forced, tenant } of rows) {
      assert.ok(forced, `${name} lets its owner past row-level security`);
      assert.ok(tenant !== WITHOUT_TENANT.includes(name), `${name}: tenant_id is ${tenant}`);
    }
  });

  it('shows the service no row and rejects every write while no caller is set', async () => {
    for (const table of await listTables(owner)) {
      const [row] = await owner`select to_jsonb(t) as row from ${owner(table)} t limit 1`;
      assert.ok(row, `${table} is empty, so nothing is tested: give it a row in fillEveryTable()`);
      const [seen] = await service`select count(*)::int as rows from ${service(table)}`;
      assert.equal(seen?.['rows'], 0, table);
      for (const [verb, write] of Object.entries(await writesTo(owner, table, row['row']))) {
        const outcome = await service.unsafe(write).then(
          (result) => result.count,
          (error: unknown) => (error instanceof postgres.PostgresError ? error.code : error),
        );
        // Either insufficient_privilege or no visible row; an insert must be rejected.
        if (verb === 'insert') assert.equal(outcome, '42501', write);
        else assert.ok(outcome === 0 || outcome === '42501', `${write}: ${outcome}`);
      }
    }
  });

  it('uses the partial indexes of channel_members for is_member_status(), also under row-level security', async () => {
    const plans = await service.begin(async (sql) => {
      await sql`
        select set_config('app.tenant_id', '1', true), set_config('app.user_id', '10', true),
          set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)
      `;
      const explain = async (query: string) => {
        const rows = await sql.unsafe(`explain ${query}`);
        return rows.map((row) => row['QUERY PLAN']).join('\n');
      };
      return Promise.all([
        explain(`
          select m.channel_id from channel_members m
          where m.tenant_id = 1 and m.user_id = 10 and is_member_status(m.status)
        `),
        explain(`
          select m.user_id from channel_members m
          where m.tenant_id = 1 and m.channel_id = 900 and is_member_status(m.status)
          order by case m.role when 'OWNER' then 1 when 'ADMIN' then 2 when 'MEMBER' then 3 else 4 end, m.user_id
        `),
        explain('select m.id from messages m where m.channel_id = 900 order by m.id desc limit 50'),
      ]);
    });
    const [byUser = '', byRank = '', history = ''] = plans;
    // Both indexes have the condition as their predicate; on a table this small either is cheap.
    assert.match(byUser, /idx_channel_members_(active|rank)/);
    assert.match(byRank, /idx_channel_members_rank/);
    assert.doesNotMatch(byRank, /Sort/);
    for (const plan of [byUser, byRank, history]) assert.doesNotMatch(plan, /is_member_status/, plan);
  });

  it('grants no role access to a partition by its own name', async () => {
    const partitions = await owner<{ name: string; guarded: boolean; granted: boolean }[]>`
      select
        c.relname as name,
        c.relrowsecurity as guarded,
        exists (select from aclexplode(c.relacl) g where g.grantee != c.relowner) as granted
      from pg_class c
      where c.relispartition and c.relkind = 'r'
    `;
    assert.ok(partitions.length >= 10);
    for (const { name, guarded, granted } of partitions) {
      assert.ok(guarded && !granted, name);
      await assert.rejects(() => service`select from ${service(name)}`, { code: '42501' }, name);
    }
  });

  it('gives the role of the service no ownership and no bypass of row-level security', async () => {
    const [role] = await service`
      select r.rolsuper or r.rolbypassrls or r.rolcreaterole as privileged,
        pg_has_role('discuss_system', 'member') as is_system
      from pg_roles r
      where r.rolname = current_user
    `;
    assert.deepEqual(role, { privileged: false, is_system: false });
    const owned = await service`
      select c.relname as name from pg_class c where pg_has_role(c.relowner, 'member')
      union all
      select p.proname from pg_proc p where pg_has_role(p.proowner, 'member')
      union all
      select d.datname from pg_database d where pg_has_role(d.datdba, 'member')
    `;
    assert.deepEqual([...owned], []);
  });

  it('assigns security definer functions to discuss_system, except those that need the owner', async () => {
    const rows = await owner<{ name: string }[]>`
      select p.proname as name
      from pg_proc p
      where p.pronamespace = 'public'::regnamespace and p.prosecdef and p.proowner != 'discuss_system'::regrole
      order by p.proname
    `;
    assert.deepEqual(
      rows.map(({ name }) => name),
      [
        'drop_empty_partitions',
        'drop_old_event_partitions',
        'ensure_partitions',
        'list_schema_files',
        'mirror_moving_row',
        'purge_activities',
        'renew_event_log',
        'standby_lag',
        'table_stats',
      ],
    );
  });

  it('has no security definer function that is public or has an unsafe search_path', async () => {
    const rows = await owner`
      select p.oid::regprocedure::text as name
      from pg_proc p
      where p.pronamespace = 'public'::regnamespace
        and p.prosecdef
        and (
          p.proconfig is null
          or not exists (select from unnest(p.proconfig) s where s like 'search\\_path=%pg\\_temp')
          or p.proacl is null
          or exists (select from aclexplode(p.proacl) g where g.grantee = 0)
        )
    `;
    assert.deepEqual([...rows], []);
  });
});

async function listTables(sql: postgres.Sql): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select c.relname as name
    from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
    order by c.relname
  `;
  return rows.map(({ name }) => name);
}

async function writesTo(sql: postgres.Sql, table: string, row: unknown): Promise<Record<string, string>> {
  const [columns] = await sql<{ list: string; first: string }[]>`
    select
      string_agg(quote_ident(attname), ', ' order by attnum) as list,
      quote_ident(min(attname) filter (where attname in ('tenant_id', 'checksum'))) as first
    from pg_attribute
    where attrelid = ${table}::regclass and attnum > 0 and not attisdropped and attgenerated = ''
  `;
  const { list = '', first = '' } = columns ?? {};
  const [literal] = await sql<{ text: string }[]>`select quote_literal(${JSON.stringify(row)}) as text`;
  return {
    insert: `insert into ${table} (${list}) select ${list} from jsonb_populate_record(null::${table}, ${literal?.text}::jsonb)`,
    update: `update ${table} set ${first} = ${first}`,
    delete: `delete from ${table}`,
  };
}

async function fillEveryTable(sql: postgres.Sql): Promise<void> {
  await sql.unsafe(`
    insert into channels (id, tenant_id, created_by, name, type, created_at, updated_at)
    values (900, 1, 10, 'Kho', 'GROUP', now_ms(), now_ms());
    insert into channel_members (channel_id, user_id, tenant_id, joined_at, created_at, updated_at)
    values (900, 10, 1, now_ms(), now_ms(), now_ms());
    insert into messages (id, channel_id, sender_id, tenant_id, content, created_at, updated_at)
    values (900, 900, 10, 1, 'xin chào', now_ms(), now_ms());
    insert into messages (id, channel_id, sender_id, tenant_id, content, is_deleted, created_at, updated_at)
    values (901, 900, 10, 1, 'bỏ', true, now_ms(), now_ms());
    insert into message_edits (tenant_id, message_id, version, channel_id, content, mentions, created_at)
    values (1, 900, 1, 900, 'xin', '{}', now_ms());
    insert into thread_followers (tenant_id, root_id, user_id, channel_id) values (1, 900, 10, 900);
    insert into poll_votes (tenant_id, message_id, user_id, option_id, channel_id, created_at)
    values (1, 900, 10, 1, 900, now_ms());
    insert into attachments
      (message_id, channel_id, tenant_id, file_name, file_size, s3_key, s3_url, created_at, updated_at)
    values (900, 900, 1, 'a.txt', 1, 'k', 'u', now_ms(), now_ms());
    insert into storage_usage (tenant_id, user_id, bytes, files) values (1, 10, 1, 1);
    insert into object_deletions (tenant_id, s3_key, due_at, created_at) values (1, 'k', now_ms(), now_ms());
    insert into activity_feed
      (tenant_id, user_id, action_type, actor_id, channel_id, description, "timestamp", created_at)
    values (1, 10, 'MESSAGE_SENT', 10, 900, 'x', now_ms(), now_ms());
    insert into channel_entity_aliases (tenant_id, entity_type, entity_id, channel_id, created_at)
    values (1, 'lead', 5, 900, now_ms());
    insert into user_statuses (tenant_id, user_id, status, updated_at) values (1, 10, 'BUSY', now_ms());
    insert into legal_holds (tenant_id, user_id, reason, placed_at, placed_by) values (1, 10, 'x', 1, 1);
    select append_audit_event(1, 'user', 10, 'X', '{}');
    insert into retention_rules (tenant_id, deleted_days, updated_at) values (1, 5, 1);
    insert into retention_runs (started_at, lease_until, instance) values (1, 1, 'x');
    insert into held_contents (tenant_id, channel_id, user_id, message_id, kind, data, kept_at)
    values (1, 900, 10, 900, 'MESSAGE', '{}', 1);
    insert into held_events (channel_id, seq, tenant_id, kind, created_at, payload) values (900, 1, 1, 'X', 1, '\\x00');
    insert into kept_partitions (name, last_id, kept_at) values ('activity_feed_2000_01', 1, 1);
    insert into partition_moves (parent, blocks) values ('x', 1);
    insert into retention_clock (offset_ms) values (0);
    insert into event_log_floors (tenant_id, floor_xid, floor_id) values (1, '1', 1);
    insert into operations (tenant_id, kind, user_id, created_at, created_by, updated_at, due_at)
    values (1, 'ERASE_USER', 10, 1, 1, 1, 1);
    insert into channel_keys (tenant_id, channel_id, key_id, wrapped_key, created_at) values (1, 900, 'k1', '\\x00', 1);
    insert into key_rotations (tenant_id, key_id, replaces_keys, started_at) values (1, 'k1', false, 1);
    insert into pending_activities (message_id, tenant_id, actor_name, after_user_id, due_at) values (900, 1, 'Lan', 0, 0);
    insert into channel_events (channel_id, seq, tenant_id, kind, created_at, payload)
    values (900, 1, 1, 'X', now_ms(), '\\x00');
    insert into idempotency_keys (tenant_id, user_id, request_id, method, payload_hash, created_at)
    values (1, 10, gen_random_uuid(), 'X', '\\x00', now_ms());
  `);
}
