import type { Pool } from '../../src/db/types.ts';
import { dropSearchIndex } from '../lib/fill.ts';
import { TENANT } from '../lib/stack.ts';
import { CHANNELS, createSlots, ROUND } from './slots.ts';

const MEMBERS = 10;
const STEP = 250_000;
const SESSIONS = 2;
const UNREAD = 20;
// The last of 20,000,000 messages is of now, the first of a year ago.
const LAST = 20_000_000;
const EVERY_MS = 1_500;

/** Channels of one tenant. User 1 is a member of all, the others of a few. */
export async function createTenant(sql: Pool): Promise<void> {
  await createSlots(sql);
  await sql`
    insert into channels (id, tenant_id, created_by, name, type, created_at, updated_at)
    select n, ${TENANT}, 1, 'Kênh ' || n, 'GROUP', now_ms(), now_ms()
    from generate_series(1, ${CHANNELS}::int) as n
  `;
  await sql`
    insert into channel_members (channel_id, user_id, tenant_id, joined_at, created_at, updated_at)
    select c, case when m = 1 then 1 else 1 + (c * 31 + m) % 997 end, ${TENANT}, now_ms(), now_ms(), now_ms()
    from generate_series(1, ${CHANNELS}::int) as c
    cross join generate_series(1, ${MEMBERS}::int) as m
    on conflict do nothing
  `;
}

/**
 * Adds messages with their words, in steps of two sessions, until there are `count` or `isFull`. Without triggers, with the
 * other indexes in place, and with the index for searches built at the end. Returns the number of messages.
 */
export async function fillTo(
  sql: Pool,
  from: number,
  count: number,
  isFull: () => Promise<boolean>,
): Promise<number> {
  const [index] = await sql<{ definition: string }[]>`
    select replace(pg_get_indexdef('idx_messages_search'::regclass), ' ON ONLY ', ' ON ') as definition
  `;
  await dropSearchIndex(sql);
  await sql`select setval('messages_id_seq', ${count}::bigint)`;
  await sql`select ensure_partitions()`;
  const filled = await inSteps(sql, from, count, isFull);
  await timed('the index for searches', () =>
    sql.begin(async (tx) => {
      await tx`set local maintenance_work_mem = '2GB'`;
      await tx.unsafe(index?.definition ?? '');
    }),
  );
  await sql`
    update channels c
    set post_seq = s.post_seq, event_seq = greatest(c.event_seq, s.post_seq), last_message_id = s.id,
      last_message_at = now_ms(), message_count = s.post_seq
    from channels k
    cross join lateral (
      select m.id, m.post_seq
      from messages m
      where m.channel_id = k.id
      order by m.id desc
      limit 1
    ) as s
    where k.id = c.id
  `;
  // Members have read all but the last messages, as they have at any size.
  await sql`
    update channel_members m
    set read_post_seq = r.post_seq, last_read_msg_id = r.id
    from channels c
    cross join lateral (
      select x.id, x.post_seq
      from messages x
      where x.channel_id = c.id
      order by x.id desc
      offset ${UNREAD}
      limit 1
    ) as r
    where c.id = m.channel_id
  `;
  await timed('vacuum', () => sql`vacuum analyze`);
  return filled;
}

async function inSteps(
  sql: Pool,
  from: number,
  count: number,
  isFull: () => Promise<boolean>,
): Promise<number> {
  const start = performance.now();
  let filled = from;
  let next = from;
  const work = async () => {
    while (next < count && !(await isFull())) {
      const first = next + 1;
      const last = Math.min(count, next + STEP);
      next = last;
      await insertMessages(sql, first, last);
      filled += last - first + 1;
      const rate = (filled - from) / ((performance.now() - start) / 1000);
      console.error(`  ${filled} messages, ${Math.round(rate)} per second`);
    }
  };
  await Promise.all(Array.from({ length: SESSIONS }, work));
  return filled;
}

async function timed(what: string, run: () => PromiseLike<unknown>): Promise<void> {
  const start = performance.now();
  await run();
  console.error(`  ${what}: ${((performance.now() - start) / 1000).toFixed(1)} s`);
}

/** As the document estimates, with two activities a message and a file in every fifth, in the first step only. */
async function insertMessages(sql: Pool, from: number, to: number): Promise<void> {
  await sql.begin(async (tx) => {
    await tx`set local session_replication_role = replica`;
    // A flush for each step takes longer than the step on slow disks.
    await tx`set local synchronous_commit = off`;
    await tx`
      insert into messages
        (id, channel_id, sender_id, tenant_id, content, message_type, mentions, post_seq, event_seq, created_at, updated_at)
      select
        n, s.channel_id, 1 + n % 997, ${TENANT}, t.content, case when n % 5 = 0 then 'FILE' else 'TEXT' end,
        case when n % 10 = 0 then '{1}' else '{}' end::bigint[], p.seq, p.seq, c.created_at, c.created_at
      from generate_series(${from}::int, ${to}::int) as n
      join bench_slots s on s.number = n % ${ROUND}
      join bench_texts t on t.number = (n + n / ${ROUND}) % (select count(*) from bench_texts)
      cross join lateral (select n / ${ROUND} * s.per_round + s.rank as seq) as p
      cross join lateral (select now_ms() - (${LAST} - n)::bigint * ${EVERY_MS} as created_at) as c
    `;
    await tx`
      insert into message_words (message_id, tenant_id, created_at, scope, search_vector)
      select
        n, ${TENANT}, now_ms() - (${LAST} - n)::bigint * ${EVERY_MS},
        search_scope(n, ${TENANT}, s.channel_id, 1 + n % 997, case when n % 5 = 0 then 'FILE' else 'TEXT' end), t.words
      from generate_series(${from}::int, ${to}::int) as n
      join bench_slots s on s.number = n % ${ROUND}
      join bench_texts t on t.number = (n + n / ${ROUND}) % (select count(*) from bench_texts)
    `;
    // Enough of the others for their size.
    if (from > 1) return;
    await tx`
      insert into attachments
        (message_id, channel_id, tenant_id, file_name, file_size, file_type, file_extension, s3_key, s3_url, uploader_id,
          part_sha256, scan_status, created_at, updated_at)
      select
        m.id, m.channel_id, m.tenant_id, 'bao-cao-' || m.id || '.pdf', 2000000, 'application/pdf', 'pdf',
        ${TENANT}::text || '/' || gen_random_uuid(), 's3://discuss/' || gen_random_uuid(), m.sender_id,
        array[sha256(m.id::text::bytea)], 'CLEAN', m.created_at, m.created_at
      from messages m
      where m.id between ${from} and ${to}
        and m.message_type = 'FILE'
    `;
    await tx`
      insert into activity_feed
        (tenant_id, user_id, action_type, actor_id, channel_id, message_id, description, title, metadata, "timestamp", created_at)
      select
        m.tenant_id, 1 + (m.id + u) % 997, 'MENTION_RECEIVED', m.sender_id, m.channel_id, m.id,
        'Lan mentioned you in Kênh ' || m.channel_id, 'Kênh ' || m.channel_id, '{"channel_name": "Kênh"}', now_ms(), now_ms()
      from messages m
      cross join generate_series(1, 2) as u
      where m.id between ${from} and ${to}
    `;
  });
}
