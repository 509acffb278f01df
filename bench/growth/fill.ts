import type { Pool } from '../../src/db/types.ts';
import { dropSearchIndex } from '../lib/fill.ts';
import { TENANT } from '../lib/stack.ts';
import { textAt } from '../lib/texts.ts';

const TEXTS = 400;
const CHANNELS = 1_000;
const MEMBERS = 10;
const STEP = 250_000;
const UNREAD = 20;

/** Channels of one tenant. User 1 is a member of all, the others of a few. */
export async function createTenant(sql: Pool): Promise<void> {
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
 * Adds messages with their words, in steps, until there are `count` or `isFull`. Without triggers, and
 * with the index for searches built at the end. Returns the number of messages.
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
  let filled = from;
  while (filled < count && !(await isFull())) {
    const to = Math.min(count, filled + STEP);
    await insertMessages(sql, filled + 1, to);
    filled = to;
    await sql`select setval('messages_id_seq', ${filled}::bigint)`;
    await sql`select ensure_partitions()`;
    console.error(`  ${filled} messages`);
  }
  await sql.begin(async (tx) => {
    await tx`set local maintenance_work_mem = '512MB'`;
    await tx.unsafe(index?.definition ?? '');
  });
  await sql`
    update channels c
    set post_seq = s.posts, last_message_id = s.last, last_message_at = now_ms(), message_count = s.posts
    from (select channel_id, count(*) as posts, max(id) as last from messages group by 1) as s
    where s.channel_id = c.id
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
  await sql`vacuum analyze`;
  return filled;
}

/** As the document estimates, with two activities a message and a file in every fifth, in the first step only. */
async function insertMessages(sql: Pool, from: number, to: number): Promise<void> {
  const texts = JSON.stringify(Array.from({ length: TEXTS }, (_, index) => textAt(index)));
  await sql.begin(async (tx) => {
    await tx`set local session_replication_role = replica`;
    await tx`
      with given as materialized (
        select array(select json_array_elements_text(${texts}::text::json)) as texts
      )
      insert into messages
        (id, channel_id, sender_id, tenant_id, content, message_type, mentions, post_seq, event_seq, created_at, updated_at)
      select
        n, 1 + (n * 7919::bigint) % ${CHANNELS}, 1 + n % 997, ${TENANT}, g.texts[1 + n % ${TEXTS}],
        case when n % 5 = 0 then 'FILE' else 'TEXT' end, case when n % 10 = 0 then '{1}' else '{}' end::bigint[],
        1 + n / ${CHANNELS}, n, now_ms(), now_ms()
      from given g
      cross join generate_series(${from}::int, ${to}::int) as n
    `;
    await tx`
      insert into message_words (message_id, tenant_id, created_at, scope, search_vector)
      select
        m.id, m.tenant_id, m.created_at, search_scope(m.id, m.tenant_id, m.channel_id, m.sender_id, m.message_type),
        message_vector(m.content)
      from messages m
      where m.id between ${from} and ${to}
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
        'Lan mentioned you in Kênh ' || m.channel_id, 'Kênh ' || m.channel_id, '{"channel_name": "Kênh"}', m.created_at,
        m.created_at
      from messages m
      cross join generate_series(1, 2) as u
      where m.id between ${from} and ${to}
    `;
  });
}
