import { create } from '@bufbuild/protobuf';
import type { PendingQuery } from 'postgres';
import { AttachmentSchema } from '#gen/serp/discuss/v1/attachment_pb.ts';
import type { Sql } from '../db/types.ts';
import { toEvent, toPayload } from '../event/log/wire.ts';

type File = { readonly id: bigint; readonly channelId: bigint; readonly messageId: bigint };

/**
 * Removes a file from the logged events of its message, so that later readers do not receive its name and preview. The
 * channel must be locked.
 */
export async function redactFile(sql: Sql, tenantId: bigint, file: File): Promise<void> {
  const rows = await listMessageEvents(sql, tenantId, file.channelId, file.messageId);
  const redacted = rows.flatMap(({ seq, payload }) => {
    const without = withoutFile(payload, file.id);
    return without === undefined ? [] : [{ seq, payload: without }];
  });
  if (redacted.length > 0) await replaceEvents(sql, file, redacted);
}

/** Undefined for an event that does not contain the file. */
function withoutFile(payload: Buffer, attachmentId: bigint): Buffer | undefined {
  const event = toEvent(payload);
  const { change } = event;
  if (change.case === 'messageCreated' || change.case === 'messageEdited') {
    const { message } = change.value;
    if (!message?.attachments.some(({ id }) => id === attachmentId)) return undefined;
    message.attachments = message.attachments.filter(({ id }) => id !== attachmentId);
    return toPayload(event);
  }
  if (change.case !== 'attachmentChanged' || change.value.attachment?.id !== attachmentId) return undefined;
  change.value.removed = true;
  change.value.attachment = create(AttachmentSchema, { id: attachmentId });
  return toPayload(event);
}

type EventRow = { readonly seq: bigint; readonly payload: Buffer };

/** The logged events of a message. */
function listMessageEvents(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  messageId: bigint,
): PendingQuery<EventRow[]> {
  return sql<EventRow[]>`
    select e.seq, e.payload
    from channel_events e
    where e.tenant_id = ${tenantId}
      and e.message_id = ${messageId}
      and e.channel_id = ${channelId}
      and e.kind in ('MESSAGE_CREATED', 'MESSAGE_EDITED', 'ATTACHMENT_CHANGED')
  `;
}

function replaceEvents(
  sql: Sql,
  { channelId, messageId }: File,
  events: readonly EventRow[],
): PendingQuery<object[]> {
  const seqs = sql.array(
    events.map(({ seq }) => seq),
    1016,
  );
  const payloads = sql.array(
    events.map(({ payload }) => payload),
    1001,
  );
  return sql`select replace_events(${channelId}, ${messageId}, ${seqs}, ${payloads})`;
}
