// A missing partition must never lose a write, and creating it later must keep all rows that refer to the moved ones.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import postgres from 'postgres';
import { type FreshSchema, freshSchema } from './kit/database.ts';
import { until } from './kit/until.ts';

const DAY = 86_400_000;
const SPAN = 30_000_000;
const NOW = Date.UTC(2031, 4, 30, 12);

describe('partitions', () => {
  let schema: FreshSchema;
  let owner: postgres.Sql;
  let service: postgres.Sql;

  before(async () => {
    schema = await freshSchema(3);
    ({ owner, service } = schema);
    await owner.unsafe(`
      insert into channels (id, tenant_id, created_by, name, type, created_at, updated_at)
      values (1, 1, 10, 'Kho', 'GROUP', 1, 1);
      insert into channel_members (channel_id, user_id, tenant_id, joined_at, created_at, updated_at)
      values (1, 10, 1, 1, 1, 1), (1, 11, 1, 1, 1, 1);
    `);
  });
  after(() => schema.close());

  it('exist after the migration for the next 60 million messages, the next week and the next months', async () => {
    const today = new Date();
    const day = (ahead: number) =>
      new Date(today.getTime() + ahead * DAY).toISOString().slice(0, 10).replaceAll('-', '');
    const names = await listPartitions();
    for (const name of [
      'messages_p000001',
      'messages_p000003',
      `channel_events_${day(0)}`,
      `channel_events_${day(6)}`,
    ])
      assert.ok(names.includes(name), name);
    const nextMonth = new Date(Date.UTC(today.getUTCFullYear(), today.getUTCMonth() + 1, 1));
    const month = nextMonth.toISOString().slice(0, 7).replace('-', '_');
    assert.ok(names.includes(`activity_feed_${month}`));
  });

  it('receive rows of the default partition with their attachments, activities, replies and counters', async () => {
    const low = 4 * SPAN + 5;
    await owner.unsafe(`
      insert into messages (id, channel_id, sender_id, tenant_id, content, parent_id, created_at, updated_at)
      values (7, 1, 10, 1, 'trước', null, 1, 1), (${low}, 1, 10, 1, 'gốc', 7, 2, 2),
        (${low + 1}, 1, 11, 1, 'trả lời', ${low}, 3, 3), (${9 * SPAN}, 1, 11, 1, 'trả lời xa', ${low}, 4, 4);
      update messages set is_deleted = true where id = ${low + 1};
      insert into attachments
        (message_id, channel_id, tenant_id, file_name, file_size, s3_key, s3_url, created_at, updated_at)
      values (${low}, 1, 1, 'hợp đồng.pdf', 1, 'k', 'u', 1, 1);
      insert into activity_feed
        (tenant_id, user_id, action_type, actor_id, channel_id, message_id, description, "timestamp", created_at)
      values (1, 11, 'MENTION_RECEIVED', 10, 1, ${low}, 'x', ${NOW}, 1), (1, 11, 'X', 10, 1, null, 'y', ${NOW - 400 * DAY}, 1);
      insert into channel_events (channel_id, seq, tenant_id, kind, created_at, payload)
      values (1, 1, 1, 'X', ${NOW - 2 * DAY}, '\\x01'), (1, 2, 1, 'X', ${NOW}, '\\x02');
    `);
    assert.deepEqual(await homes(), {
      messages: 'messages_default messages_p000001',
      activities: 'activity_feed_default',
      events: 'channel_events_default',
    });
    const before = await contents();

    const created = await ensure(NOW);
    for (const name of [
      'messages_p000005',
      'messages_p000010',
      'activity_feed_2031_05',
      'activity_feed_2030_04',
    ])
      assert.ok(created.includes(name), name);
    assert.ok(created.includes('channel_events_20310528') && created.includes('channel_events_20310606'));

    assert.deepEqual(await contents(), before);
    assert.deepEqual(await homes(), {
      messages: 'messages_p000001 messages_p000005 messages_p000010',
      activities: 'activity_feed_2030_04 activity_feed_2031_05',
      events: 'channel_events_20310528 channel_events_20310530',
    });
    assert.deepEqual(await ensure(NOW), [], 'a second call has nothing to do');
  });

  it('can replace the default partition of messages, because no foreign key refers to it', async () => {
    const rows = await owner`
      select conrelid::regclass::text as name
      from pg_constraint
      where confrelid = 'messages'::regclass and contype = 'f'
    `;
    assert.deepEqual([...rows], []);
  });

  it('are created once by concurrent callers', async () => {
    const later = NOW + 60 * DAY;
    await Promise.all([1, 2, 3].map(() => service`select pg_sleep(0.1)`));
    const created = (await Promise.all([1, 2, 3].map(() => ensurePatiently(later)))).flat();
    assert.ok(created.length >= 8);
    assert.equal(new Set(created).size, created.length);
  });

  it('are postponed while a writer holds a lock, without blocking the writer', async () => {
    const later = NOW + 200 * DAY;
    await owner.begin(async (writer) => {
      await writer`update channels set name = 'Kho 2' where id = 1`;
      const created = await ensure(later);
      assert.ok(
        created.length > 0 && created.every((name) => name.startsWith('channel_events_')),
        created.join(),
      );
      await writer`
        insert into messages (channel_id, sender_id, tenant_id, content, created_at, updated_at, id)
        values (1, 10, 1, 'x', 1, 1, ${20 * SPAN})
      `;
    });
    const created = await ensure(later);
    assert.ok(
      created.includes('activity_feed_2031_12') && created.includes('messages_p000021'),
      created.join(),
    );
  });

  it('of the log are dropped after the retention period, also rows of the default partition', async () => {
    const rows = () =>
      owner`select seq from channel_events order by seq`.then((found) => found.map((row) => row['seq']));
    await owner`
      insert into channel_events (channel_id, seq, tenant_id, kind, created_at, payload)
      values (1, 0, 1, 'X', ${Date.UTC(2029, 0)}, '')
    `;
    assert.deepEqual(await rows(), ['0', '1', '2']);
    assert.ok((await drop(2, NOW)).every((name) => name < 'channel_events_20310528'));
    assert.deepEqual(await rows(), ['1', '2']);
    assert.deepEqual(await drop(1, NOW), ['channel_events_20310528']);
    assert.deepEqual(await rows(), ['2']);
    await assert.rejects(drop(0, NOW), { code: '22023' });
  });

  it('are dropped when they are empty and below the current id, without blocking a writer', async () => {
    const dropEmpty = () =>
      service<{ name: string }[]>`select drop_empty_partitions() as name`.then((rows) =>
        rows.map(({ name }) => name),
      );
    const dropAll = async (): Promise<string[]> => {
      const names = await dropEmpty();
      return names.length === 0 ? [] : [...names, ...(await dropAll())];
    };
    const has = async (name: string) => (await listPartitions()).includes(name);
    await owner`select setval('messages_id_seq', ${4 * SPAN + 2})`;
    await ensure(NOW);
    await owner`
      insert into channels (id, tenant_id, created_by, name, type, created_at, updated_at)
      values (2, 1, 10, 'Kho', 'GROUP', 1, 1)
    `;
    await owner.begin(async (writer) => {
      await writer`
        insert into messages (channel_id, sender_id, tenant_id, content, created_at, updated_at)
        values (2, 10, 1, 'đang viết', 1, 1)
      `;
      assert.deepEqual(
        (await dropAll()).filter((name) => name.startsWith('messages_')),
        [],
      );
      await writer`
        insert into messages (channel_id, sender_id, tenant_id, content, created_at, updated_at)
        values (2, 10, 1, 'tiếp', 1, 1)
      `;
    });
    const dropped = await dropAll();
    for (const name of ['messages_p000002', 'messages_p000003'])
      assert.ok(dropped.includes(name), dropped.join());
    // With one row, the current one, and those of later ids.
    for (const name of ['messages_p000001', 'messages_p000005', 'messages_p000006', 'messages_p000010'])
      assert.ok(await has(name), name);
    await owner`delete from messages where id < ${SPAN}`;
    assert.deepEqual(
      (await dropAll()).filter((name) => name.startsWith('messages_')),
      ['messages_p000001'],
    );
    await owner`
      insert into messages (id, channel_id, sender_id, tenant_id, content, post_seq, created_at, updated_at)
      values (5, 1, 10, 1, 'nhập lại', 99, 1, 1)
    `;
    assert.ok((await ensure(NOW)).includes('messages_p000001'), 'a row of old keys gets a partition again');
  });

  it('cannot be created or truncated by the service other than through these functions', async () => {
    const tries = [
      `select create_partition('messages', 'messages_p009999', 'id', 0, 1)`,
      `select finish_partition_move('messages')`,
      'truncate messages_default',
      'create table mine ()',
    ];
    for (const statement of tries)
      await assert.rejects(service.unsafe(statement), { code: '42501' }, statement);
  });

  it('are created after the rows that were written while their creation waited are moved', async () => {
    const later = NOW + 100 * DAY;
    const { promise: created, resolve } = Promise.withResolvers<string[]>();
    await owner.begin(async (writer) => {
      await writer`
        insert into channel_events (channel_id, seq, tenant_id, kind, created_at, payload)
        values (1, 3, 1, 'X', ${later}, '\\x03')
      `;
      resolve(ensure(later));
      await until(
        async () =>
          (
            await owner`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
          ).length > 0,
        'a lock that is awaited',
      );
    });
    assert.ok(!(await created).includes('channel_events_20310907'));
    assert.ok((await ensure(later)).includes('channel_events_20310907'));
  });

  async function ensure(now: number): Promise<string[]> {
    const rows = await service<{ name: string }[]>`select ensure_partitions(${now}) as name`;
    return rows.map(({ name }) => name);
  }

  /** Repeats the call after a lock timeout, as the job does. */
  async function ensurePatiently(now: number): Promise<string[]> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await ensure(now);
      } catch (error) {
        if (attempt === 20 || !(error instanceof postgres.PostgresError) || error.code !== '55P03')
          throw error;
      }
    }
  }

  async function drop(days: number, now: number): Promise<string[]> {
    const rows = await service<{ name: string }[]>`select drop_old_event_partitions(${days}, ${now}) as name`;
    return rows.map(({ name }) => name);
  }

  async function listPartitions(): Promise<string[]> {
    const rows = await owner<{ name: string }[]>`select relname as name from pg_class where relispartition`;
    return rows.map(({ name }) => name);
  }

  /** Partitions that contain rows. */
  async function homes() {
    const [row] = await owner`
      select
        (select string_agg(distinct tableoid::regclass::text, ' ') from messages) as messages,
        (select string_agg(distinct tableoid::regclass::text, ' ') from activity_feed) as activities,
        (select string_agg(distinct tableoid::regclass::text, ' ') from channel_events) as events
    `;
    return { ...row };
  }

  /** All rows that may be moved, and the counters that triggers would change. */
  async function contents() {
    const [row] = await owner`
      select
        (select jsonb_agg(m order by m.id) from messages m) as messages,
        (select jsonb_agg(a order by a.id) from attachments a) as attachments,
        (select jsonb_agg(d order by d.id) from object_deletions d) as deletions,
        (select jsonb_agg(a order by a.id) from activity_feed a) as activities,
        (select jsonb_agg(e order by e.seq) from channel_events e) as events,
        (select jsonb_agg(d order by d.post_seq) from deleted_posts d) as deleted,
        (select jsonb_agg(c) from channels c) as channels,
        (select jsonb_agg(m order by m.id) from channel_members m) as members
    `;
    return { ...row };
  }
});
