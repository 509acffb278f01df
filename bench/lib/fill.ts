import type { Pool } from '../../src/db/types.ts';
import type { Channel } from './channels.ts';
import { TENANT } from './stack.ts';
import { textAt } from './texts.ts';

const TEXTS = 200;
const SENDERS = 5;

/**
 * Fills channels with messages by plain SQL, ids alternating between the channels. Every fifth message mentions
 * `mentioned`, every fourth has a reaction. Triggers are off, so the counters that they maintain are set here.
 */
export async function fillChannels(
  sql: Pool,
  channels: readonly Channel[],
  perChannel: number,
  mentioned = 1n,
): Promise<void> {
  const ids = sql.array(
    channels.map(({ id }) => id),
    1016,
  );
  const texts = JSON.stringify(Array.from({ length: TEXTS }, (_, index) => textAt(index)));
  await sql.begin(async (tx) => {
    await tx`set local session_replication_role = replica`;
    await tx`
      with given as materialized (
        select ${ids}::bigint[] as channels, array(select json_array_elements_text(${texts}::text::json)) as texts
      )
      insert into messages
        (id, channel_id, sender_id, tenant_id, content, mentions, reactions, post_seq, event_seq, created_at, updated_at)
      select
        nextval('messages_id_seq'), g.channels[c], 100 + n % ${SENDERS}, ${TENANT}, g.texts[1 + (n * 7 + c) % ${TEXTS}],
        case when n % 5 = 0 then array[${mentioned}::bigint] else '{}' end,
        case when n % 4 = 0 then '[{"emoji": "👍", "users": [101, 102, 103]}]' else '[]' end::jsonb,
        n, n, now_ms(), now_ms()
      from given g
      cross join generate_series(1, ${perChannel}::int) as n
      cross join generate_series(1, ${channels.length}::int) as c
    `;
    await tx`
      update channels c
      set
        post_seq = ${perChannel}::int,
        event_seq = ${perChannel}::int,
        unread_version = ${perChannel}::int,
        settled_version = ${perChannel}::int,
        message_count = ${perChannel}::int,
        last_message_at = now_ms(),
        last_message_id = (select max(m.id) from messages m where m.channel_id = c.id)
      where c.id = any(${ids})
    `;
  });
  await sql`vacuum analyze`;
}

/** For benchmarks that do not search: to fill the index row by row takes longer than the rest of the set-up. */
export async function dropSearchIndex(sql: Pool): Promise<void> {
  await sql`drop index idx_messages_search`;
}
