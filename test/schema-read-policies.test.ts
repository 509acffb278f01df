// Row-level security as the second line of defence: what the service's role can read for a caller, whatever the statement.
// No statement here has a tenant or a user in its conditions.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type postgres from 'postgres';
import { type FreshSchema, freshSchema } from './kit/database.ts';
import {
  asCaller,
  type Caller,
  fillTenants,
  MEMBER,
  OTHER_TENANT,
  SERVICE,
  STRANGER,
} from './kit/policy-fixture.ts';

describe('row-level security of reads', () => {
  let schema: FreshSchema;
  let owner: postgres.Sql;
  let service: postgres.Sql;

  before(async () => {
    schema = await freshSchema(1);
    ({ owner, service } = schema);
    await fillTenants(owner);
  });
  after(() => schema.close());

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
    return asCaller(service, caller, work);
  }
});

function seen(channels: string[], members: string[], messages: string[], events: string[]) {
  return { channels, members, messages, events };
}
