import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';

const operator: As = { userId: 0n, tenantId: 0n, roles: ['discuss.admin'] };
const DAY_MS = 86_400_000;

describe('the purge of activities', () => {
  let the: App;
  // The oldest time that is kept, and the beginning of its month.
  const kept = Date.now() - 365 * DAY_MS;
  const month = Date.UTC(new Date(kept).getUTCFullYear(), new Date(kept).getUTCMonth());

  before(async () => {
    the = await app({ RETENTION_INTERVAL_MS: '0', MAINTENANCE_INTERVAL_MS: '0' });
  });
  after(() => the.close());
  beforeEach(() => the.owner`delete from activity_feed`);

  const insert = (timestamp: number, count: number) => the.owner`
    insert into activity_feed
      (tenant_id, user_id, action_type, actor_id, entity_type, entity_id, description, "timestamp", created_at)
    select 1, 2, 'X', 3, 'order', 4, 'x', ${timestamp}, 1 from generate_series(1, ${count})
  `;
  const run = async () => (await the.client(AdminService, operator).runRetention({})).removedActivityCount;
  const left = async () => {
    const rows = await the.owner<{ place: string; n: number }[]>`
      select tableoid::regclass::text as place, count(*)::int as n from activity_feed group by 1 order by 1
    `;
    return Object.fromEntries(rows.map(({ place, n }) => [place, n]));
  };
  const partition = (timestamp: number) =>
    `activity_feed_${new Date(timestamp).toISOString().slice(0, 7).replace('-', '_')}`;
  const isThere = async (name: string) =>
    (await the.owner`select from pg_class where relname = ${name}`).length === 1;

  it('drops months that are over, without removing their rows one by one', async () => {
    const [first, second] = [month - 40 * DAY_MS, month - 1];
    await insert(first, 2_500);
    await insert(second, 300);
    await the.owner`select ensure_partitions()`;
    assert.deepEqual(await left(), { [partition(first)]: 2_500, [partition(second)]: 300 });
    await the.owner.unsafe(`
      create function reject_removal() returns trigger language plpgsql as $$ begin raise exception 'removed'; end $$;
      create trigger reject_removal before delete on activity_feed for each row execute function reject_removal();
    `);
    try {
      assert.equal(await run(), 2_800);
      for (const name of [partition(first), partition(second)])
        assert.equal(await isThere(name), false, name);
    } finally {
      await the.owner`drop function reject_removal cascade`;
    }
  });

  it('removes rows of the month in which the period begins, and of the default partition', async () => {
    await insert(kept - 3_600_000, 7);
    await the.owner`select ensure_partitions()`;
    await insert(kept + DAY_MS, 3);
    // Of a month that has no partition.
    await insert(month - 100 * DAY_MS, 2_100);
    const recent = Object.values(await left()).reduce((sum, n) => sum + n) - 7 - 2_100;
    const removed = await run();
    // On the first day of a month, its rows that are due are of the month before, which is dropped.
    assert.equal(removed, 2_107);
    assert.deepEqual(Object.values(await left()), [recent]);
  });

  it('leaves a month that is in use to the next run', async () => {
    const old = month - DAY_MS;
    await insert(old, 5);
    await the.owner`select ensure_partitions()`;
    await the.owner.begin(async (sql) => {
      await sql`select from activity_feed limit 1`;
      assert.equal(await run(), 0);
    });
    assert.equal(await run(), 5);
    assert.equal(await isThere(partition(old)), false);
  });
});
