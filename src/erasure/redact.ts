import type { PendingQuery } from 'postgres';
import type { Sql } from '../db/types.ts';
import { toEvent, toPayload } from '../event/log/wire.ts';
import type { MessageRow } from '../message/sql.ts';
import { toSentence } from '../notice/view.ts';

/** Removes the name of the actor from the logged event of a notice. The channel must be locked. */
export async function redactNotice(sql: Sql, tenantId: bigint, { channelId, id }: MessageRow): Promise<void> {
  const [row] = await findPosted(sql, tenantId, channelId, id);
  if (row === undefined) return;
  const event = toEvent(row.payload);
  const message = event.change.case === 'messageCreated' ? event.change.value.message : undefined;
  if (message?.notice === undefined) return;
  message.notice.actorName = '';
  message.content = toSentence(message.notice);
  const seqs = sql.array([row.seq], 1016);
  const payloads = sql.array([toPayload(event)], 1001);
  await sql`select replace_events(${channelId}, ${id}, ${seqs}, ${payloads})`;
}

type PostedRow = { readonly seq: bigint; readonly payload: Buffer };

/** The event that posted a message, unless its day was dropped. */
function findPosted(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  messageId: bigint,
): PendingQuery<PostedRow[]> {
  return sql<PostedRow[]>`
    select e.seq, e.payload
    from messages m
    join channel_events e on e.channel_id = m.channel_id and e.seq = m.created_event_seq
    where m.id = ${messageId}
      and m.channel_id = ${channelId}
      and m.tenant_id = ${tenantId}
      and e.tenant_id = ${tenantId}
      and e.kind = 'MESSAGE_CREATED'
  `;
}
