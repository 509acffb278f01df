import type { PendingQuery } from 'postgres';
import {
  BatchGetMessagesResponse_EntrySchema,
  type MessageService,
} from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import { openMessages } from '../encryption/content.ts';
import { joinReader } from '../membership/sql.ts';
import { toBatch } from '../rpc/batch.ts';
import type { Caller, Handlers } from '../rpc/call.ts';
import { type MessageRow, messageColumns } from './sql.ts';
import { toMessage } from './view.ts';

type BatchHandlers = Pick<Handlers<typeof MessageService>, 'batchGetMessages'>;

export function batchHandlers({ db, encryption }: Deps): BatchHandlers {
  return {
    async batchGetMessages({ messageIds }, call) {
      const rows = await db.run(call, (sql) => listMessages(sql, call.caller, messageIds));
      const found = new Map(rows.map((row) => [row.id, row]));
      const batch = toBatch(BatchGetMessagesResponse_EntrySchema, messageIds, (messageId) => {
        const row = found.get(messageId);
        return row === undefined ? undefined : { message: toMessage(row), headSeq: row.headSeq };
      });
      const { entries, missing, remaining } = batch;
      await openMessages(
        encryption.keys,
        entries.flatMap(({ message }) => message ?? []),
      );
      return { entries, missingMessageIds: missing, remainingMessageIds: remaining };
    },
  };
}

/** Messages by id, of all channels that the caller may read. */
function listMessages(
  sql: Sql,
  caller: Caller,
  messageIds: readonly bigint[],
): PendingQuery<(MessageRow & { readonly headSeq: bigint })[]> {
  const { tenantId } = caller;
  return sql<(MessageRow & { readonly headSeq: bigint })[]>`
    select ${messageColumns(sql)}, c.event_seq as head_seq
    from messages m
    join channels c on c.id = m.channel_id
    ${joinReader(sql, caller)}
    where m.id = any(${sql.array([...messageIds], 1016)})
      and m.tenant_id = ${tenantId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
  `;
}
