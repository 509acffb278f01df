import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { PendingQuery } from 'postgres';
import { ContentState, MessageSchema, MessageVersionSchema } from '#gen/serp/discuss/v1/message_pb.ts';
import type { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { fromMetadataJson } from '../db/metadata.ts';
import { toTimestamp } from '../db/time.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import { keyIdsOf, openMessage } from '../encryption/content.ts';
import type { DataKeys } from '../encryption/data-keys.ts';
import { joinReader } from '../membership/sql.ts';
import type { Caller, Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { fromPageToken, pageOfItems } from '../rpc/page-token.ts';

type VersionHandlers = Pick<Handlers<typeof MessageService>, 'listEdits'>;

export function versionHandlers({ db, encryption: { keys } }: Deps): VersionHandlers {
  return {
    async listEdits({ channelId, messageId, pageSize, pageToken }, call) {
      const before = fromPageToken(pageToken, 1)?.[0] ?? null;
      const rows = await db.run(call, (sql) =>
        listVersions(sql, call.caller, { channelId, messageId }, before, pageSize + 1),
      );
      if (rows.length === 0) throw errors.messageNotFound();
      const found = rows.flatMap((row) => (row.version === null ? [] : [row]));
      await keys.load(found.flatMap(keyIdOfVersion));
      const keysOf = ({ version }: VersionRow) => [BigInt(version)];
      const toVersion = (row: VersionRow) => openVersion(keys, channelId, messageId, row);
      const { items, nextPageToken } = pageOfItems(found, pageSize, MessageVersionSchema, toVersion, keysOf);
      return { versions: items, nextPageToken };
    },
  };
}

type VersionRow = {
  readonly version: number;
  readonly content: string;
  readonly mentions: bigint[];
  readonly metadata: string | null;
  readonly encryptedContent: Buffer | null;
  readonly createdAt: bigint;
};

/**
 * Earlier versions of a message, latest first, from the one before a version on. One row without version when there are
 * none, no row when the message is not visible.
 */
function listVersions(
  sql: Sql,
  caller: Caller,
  { channelId, messageId }: { readonly channelId: bigint; readonly messageId: bigint },
  before: bigint | null,
  limit: number,
): PendingQuery<(VersionRow | { readonly version: null })[]> {
  const { tenantId } = caller;
  return sql<(VersionRow | { readonly version: null })[]>`
    select e.version, e.content, e.mentions, e.metadata::text, e.encrypted_content, e.created_at
    from messages m
    join channels c on c.id = m.channel_id
    ${joinReader(sql, caller)}
    left join message_edits e
      on e.tenant_id = m.tenant_id
      and e.message_id = m.id
      and not m.is_deleted
      ${before === null ? sql`` : sql`and e.version < ${before}::int`}
    where m.id = ${messageId}
      and m.channel_id = ${channelId}
      and m.tenant_id = ${tenantId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
    order by e.version desc
    limit ${limit}
  `;
}

function keyIdOfVersion({ encryptedContent }: VersionRow): bigint[] {
  return encryptedContent === null ? [] : keyIdsOf({ encryptedContent });
}

/** An earlier version, decrypted with keys that were loaded. */
function openVersion(
  keys: DataKeys,
  channelId: bigint,
  messageId: bigint,
  row: VersionRow,
): MessageInitShape<typeof MessageVersionSchema> {
  const encryptedContent = row.encryptedContent ?? new Uint8Array();
  const stored = { id: messageId, channelId, content: row.content, encryptedContent };
  const message = create(MessageSchema, { ...stored, metadata: fromMetadataJson(row.metadata) });
  openMessage(keys, message);
  const { content, metadata, contentState } = message;
  if (contentState === ContentState.KEY_UNAVAILABLE) throw errors.encryptionKeyUnavailable(channelId);
  return {
    version: row.version,
    content,
    mentionUserIds: row.mentions,
    metadata,
    writeTime: toTimestamp(row.createdAt),
    contentState,
  };
}
