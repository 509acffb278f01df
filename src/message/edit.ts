import { isDeepStrictEqual } from 'node:util';
import type { MessageShape } from '@bufbuild/protobuf';
import type { PendingQuery } from 'postgres';
import type { EditMessageRequestSchema, MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { recordMentions } from '../activity/sql.ts';
import { signalActivities } from '../activity/view.ts';
import type { Config } from '../config.ts';
import { fromMetadataJson, toMetadataJson } from '../db/metadata.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import { openOne, sealContent } from '../encryption/content.ts';
import type { DataKeys } from '../encryption/data-keys.ts';
import type { DataKey } from '../encryption/envelope.ts';
import { appendEvent } from '../event/log/sql.ts';
import type { LoggedEvent } from '../event/log/wire.ts';
import { type PatchableEvent, toPatchable } from '../event/log/wire.ts';
import type { Caller, Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { maskPaths } from '../rpc/field-mask.ts';
import { allowedMentions, ignoredMentions, lockMessage, rejectDeleted, requireContent } from './access.ts';
import type { MessageCache } from './cache.ts';
import { findAudience, type LockedRow, type MessageRow, messageColumns, nextSeq } from './sql.ts';
import { toMessage } from './view.ts';

type EditRequest = MessageShape<typeof EditMessageRequestSchema>;

const HOUR_MS = 3_600_000n;
const EDITABLE_TYPES: ReadonlySet<string> = new Set(['TEXT', 'CODE', 'IMAGE', 'FILE']);

type EditHandlers = Pick<Handlers<typeof MessageService>, 'editMessage'>;

export function editHandlers(deps: Deps & { readonly messageCache: MessageCache }): EditHandlers {
  return {
    async editMessage(request, call) {
      requireEdit(request);
      const { message, events, activities } = await deps.db.lockingTransaction(
        call,
        request.channelId,
        (sql) => edit(sql, call.caller, deps, request),
      );
      deps.messageCache.forget(request.channelId, events[0]?.seq);
      deps.relay.publish(call.caller.tenantId, events);
      signalActivities(deps.relay, activities);
      const asked = request.updateMask?.paths.includes('mention_user_ids') ? request.mentionUserIds : [];
      const shown = await openOne(deps.encryption.keys, toMessage(message));
      return { message: shown, ignoredMentionUserIds: ignoredMentions(asked, message.mentions) };
    },
  };
}

/** A message after its edit, with its events and the activities of newly mentioned users. */
type Edited = {
  readonly message: MessageRow;
  readonly events: readonly LoggedEvent[];
  readonly activities: string | null;
};

/** Edits a message and stores its earlier version. No events when nothing changes. */
async function edit(
  sql: Sql,
  caller: Caller,
  { config, encryption }: Deps,
  request: EditRequest,
): Promise<Edited> {
  const stored = await lockMessage(sql, caller, request.channelId, request.messageId);
  requireEditable(config, caller, stored);
  // Only messages with files may be without text.
  if (pathsOf(request).has('content')) requireContent(request.content, isOfFiles(stored));
  const before = await openRow(encryption.keys, stored);
  const content = await toContent(sql, caller, request, before);
  if (isSame(before, content)) return { message: stored, events: [], activities: null };
  const key = await encryption.keyById(stored.dataKeyId, stored.channelId);
  const { tenantId, userId } = caller;
  await Promise.all([insertVersion(sql, tenantId, before.id), deleteOldVersions(sql, tenantId, before.id)]);
  const [message] = await updateContent(sql, tenantId, before.id, encryptContent(key, before.id, content));
  if (message === undefined) throw errors.messageNotFound();
  const edited = toMessageEdited(message, userId);
  const events = await appendEvent(sql, message.channelId, 'MESSAGE_EDITED', userId, edited, message.id);
  const added = message.mentions.filter((id) => !before.mentions.includes(id));
  const [recorded] = added.length === 0 ? [] : await recordMentions(sql, message, added, caller.name);
  return { message, events, activities: recorded?.activities ?? null };
}

/** Checks that do not depend on the message. */
function requireEdit(request: EditRequest): void {
  const paths = pathsOf(request);
  if (paths.has('content')) requireContent(request.content, true);
  if (paths.has('metadata')) toMetadataJson('metadata', request.metadata);
}

function pathsOf({ updateMask }: EditRequest) {
  return maskPaths(updateMask, ['content', 'mention_user_ids', 'metadata']);
}

function requireEditable({ message }: Config, caller: Caller, row: LockedRow): void {
  if (caller.userId === 0n || row.senderId !== caller.userId) throw errors.notAuthor();
  rejectDeleted(row);
  if (!EDITABLE_TYPES.has(row.messageType)) throw errors.messageTypeWrong(row.messageType);
  const hours = message.editWindowHours;
  if (hours > 0 && row.now - row.createdAt > BigInt(hours) * HOUR_MS) throw errors.editWindowOver(hours);
}

function isOfFiles({ messageType }: LockedRow): boolean {
  return messageType === 'IMAGE' || messageType === 'FILE';
}

async function toContent(
  sql: Sql,
  { tenantId, userId }: Caller,
  request: EditRequest,
  before: LockedRow,
): Promise<Content> {
  const paths = pathsOf(request);
  let mentions: readonly bigint[] = before.mentions;
  if (paths.has('mention_user_ids')) {
    const [audience] = await findAudience(sql, tenantId, userId, request.channelId, request.mentionUserIds);
    mentions = allowedMentions(request.mentionUserIds, audience);
  }
  return {
    content: paths.has('content') ? request.content : before.content,
    mentions,
    metadata: paths.has('metadata') ? toMetadataJson('metadata', request.metadata) : before.metadata,
  };
}

function isSame(before: MessageRow, { content, mentions, metadata }: Content): boolean {
  return (
    before.content === content &&
    isDeepStrictEqual(before.mentions, [...mentions]) &&
    isDeepStrictEqual(JSON.parse(before.metadata ?? 'null'), JSON.parse(metadata ?? 'null'))
  );
}

/** A message with its plaintext, from which an edit that changes a part of it proceeds. */
async function openRow(keys: DataKeys, row: LockedRow): Promise<LockedRow> {
  if (row.encryptedContent === null) return row;
  const { content = '', metadata } = await openOne(keys, toMessage(row));
  return { ...row, content, metadata: metadata === undefined ? null : JSON.stringify(metadata) };
}

function encryptContent(key: DataKey | undefined, messageId: bigint, content: Content): StoredContent {
  if (key === undefined) return { ...content, encrypted: null };
  const { content: text, mentions } = content;
  const metadata = fromMetadataJson(content.metadata);
  const encrypted = sealContent(key, messageId, { content: text, ...(metadata && { metadata }) });
  return { content: '', mentions, metadata: null, encrypted };
}

const VERSIONS_KEPT = 100;

/** Stores the current content of a message as an earlier version. */
function insertVersion(sql: Sql, tenantId: bigint, messageId: bigint): PendingQuery<never[]> {
  return sql<never[]>`
    insert into message_edits
      (tenant_id, message_id, version, channel_id, content, mentions, metadata, encrypted_content, created_at)
    select
      m.tenant_id, m.id,
      1 + coalesce((select max(e.version) from message_edits e where e.tenant_id = ${tenantId} and e.message_id = m.id), 0),
      m.channel_id, m.content, m.mentions, m.metadata, m.encrypted_content, coalesce(m.edited_at, m.created_at)
    from messages m
    where m.id = ${messageId}
      and m.tenant_id = ${tenantId}
  `;
}

/** Deletes the oldest versions of a message beyond the limit. */
function deleteOldVersions(sql: Sql, tenantId: bigint, messageId: bigint): PendingQuery<never[]> {
  return sql<never[]>`
    delete from message_edits e
    where e.tenant_id = ${tenantId}
      and e.message_id = ${messageId}
      and e.version <= (
        select max(x.version) - ${VERSIONS_KEPT}
        from message_edits x
        where x.tenant_id = ${tenantId} and x.message_id = ${messageId}
      )
  `;
}

type Content = {
  readonly content: string;
  readonly mentions: readonly bigint[];
  /** JSON text. */
  readonly metadata: string | null;
};

type StoredContent = Content & { readonly encrypted: Buffer | null };

function updateContent(
  sql: Sql,
  tenantId: bigint,
  messageId: bigint,
  { content, mentions, metadata, encrypted }: StoredContent,
): PendingQuery<MessageRow[]> {
  return sql<MessageRow[]>`
    update messages m
    set
      content = ${content},
      mentions = ${sql.array([...mentions], 1016)},
      metadata = ${metadata}::text::jsonb,
      encrypted_content = ${encrypted},
      is_edited = true,
      edited_at = t.now,
      updated_at = t.now,
      event_seq = ${nextSeq(sql)}
    from (
      -- message_words recognizes versions by their time.
      select greatest(now_ms(), x.edited_at + 1) as now from messages x where x.id = ${messageId}
    ) as t
    where m.id = ${messageId}
      and m.tenant_id = ${tenantId}
    returning ${messageColumns(sql)}
  `;
}

/** The event that a message was edited. */
export function toMessageEdited(row: MessageRow, actorId: bigint): PatchableEvent {
  const change = { case: 'messageEdited', value: { message: toMessage(row) } } as const;
  const encrypted = row.encryptedContent !== null;
  return toPatchable({ channelId: row.channelId, actorId, encrypted, change });
}
