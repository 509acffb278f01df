import { isDeepStrictEqual } from 'node:util';
import type { MessageShape } from '@bufbuild/protobuf';
import type { EditMessageRequestSchema } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { recordMentions } from '../activity/sql.ts';
import type { Config } from '../config.ts';
import { toMetadataJson } from '../db/metadata.ts';
import type { Sql } from '../db/types.ts';
import { appendEvent, type LoggedEvent } from '../event/log/sql.ts';
import type { Caller } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { maskPaths } from '../rpc/field-mask.ts';
import { lockMessage, rejectDeleted } from './access.ts';
import { type Content, deleteOldVersions, insertVersion, updateContent } from './change-sql.ts';
import { requireContent } from './content.ts';
import { keepMentions } from './mention.ts';
import { findAudience, type LockedRow, type MessageRow } from './sql.ts';
import { toMessageEdited } from './view.ts';

type EditRequest = MessageShape<typeof EditMessageRequestSchema>;

const HOUR_MS = 3_600_000n;

/** A message after its edit, the event, and what was recorded for those it mentions now. */
export type Edited = {
  readonly message: MessageRow;
  readonly events: readonly LoggedEvent[];
  readonly activities: string | null;
};

/** Changes a message, unless it is as asked already; its earlier version is kept. */
export async function edit(sql: Sql, caller: Caller, config: Config, request: EditRequest): Promise<Edited> {
  const before = await lockMessage(sql, caller, request.channelId, request.messageId);
  requireEditable(config, caller, before);
  const content = await toContent(sql, caller, request, before);
  if (isSame(before, content)) return { message: before, events: [], activities: null };
  const { tenantId, userId } = caller;
  await Promise.all([insertVersion(sql, tenantId, before.id), deleteOldVersions(sql, tenantId, before.id)]);
  const [message] = await updateContent(sql, tenantId, before.id, content);
  if (message === undefined) throw errors.messageNotFound();
  const edited = toMessageEdited(message, userId);
  const events = await appendEvent(sql, message.channelId, 'MESSAGE_EDITED', userId, edited, message.id);
  const added = message.mentions.filter((id) => !before.mentions.includes(id));
  const [recorded] = added.length === 0 ? [] : await recordMentions(sql, message, added, caller.name);
  return { message, events, activities: recorded?.activities ?? null };
}

/** Checks what needs no look at the message. */
export function requireEdit(request: EditRequest): void {
  const paths = pathsOf(request);
  if (paths.has('content')) requireContent(request.content);
  if (paths.has('metadata')) toMetadataJson('metadata', request.metadata);
}

function pathsOf({ updateMask }: EditRequest) {
  return maskPaths(updateMask, ['content', 'mention_user_ids', 'metadata']);
}

function requireEditable({ message }: Config, caller: Caller, row: LockedRow): void {
  if (caller.userId === 0n || row.senderId !== caller.userId) throw errors.notAuthor();
  rejectDeleted(row);
  if (row.messageType !== 'TEXT' && row.messageType !== 'CODE') throw errors.messageTypeWrong();
  const hours = message.editWindowHours;
  if (hours > 0 && row.now - row.createdAt > BigInt(hours) * HOUR_MS) throw errors.editWindowOver(hours);
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
    mentions = keepMentions(request.mentionUserIds, audience);
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
