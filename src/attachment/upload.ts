import type { MessageShape } from '@bufbuild/protobuf';
import type { PendingQuery } from 'postgres';
import type {
  AttachmentService,
  CreateUploadRequestSchema,
} from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { findClaim } from '../channel/sql.ts';
import { hashRequest } from '../db/request-hash.ts';
import { toTimestamp } from '../db/time.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import { ENCRYPTED_FILE_NAME, sealFileName } from '../encryption/content.ts';
import type { Call, Caller, Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { requireFound, requireOwn, requirePoster } from './access.ts';
import { cleanName, detectType, extensionOf, START_BYTES, toKey } from './file.ts';
import { assemble, countParts, PART_BYTES, toUploadParts } from './parts.ts';
import {
  type AttachmentRow,
  completeUpload,
  deleteUnsent,
  findAttachment,
  insertUpload,
  renewUpload,
} from './sql.ts';
import type { Storage } from './storage.ts';
import { openAttachment } from './view.ts';

const BYTES_PER_MB = 1_048_576;

type CreateRequest = MessageShape<typeof CreateUploadRequestSchema>;
type UploadHandlers = Pick<
  Handlers<typeof AttachmentService>,
  'createUpload' | 'completeUpload' | 'abortUpload'
>;

export type UploadDeps = Deps & { readonly storage: Storage };

export function uploadHandlers(deps: UploadDeps): UploadHandlers {
  const { db, storage, config, now } = deps;
  return {
    async createUpload(request, call) {
      requireUpload(deps, request);
      const created = await db.transaction(call, (sql) => claim(deps, sql, call.caller, request));
      const row = await prepareParts(deps, call, created);
      const urlMs = config.attachment.uploadUrlMs;
      const expireTime = toTimestamp(BigInt(now() + urlMs));
      const isOpen = row.uploadState === 'UPLOADING';
      const parts = isOpen ? await toUploadParts(storage, row, urlMs) : [];
      return { attachment: await openAttachment(deps, row), parts, expireTime };
    },

    async completeUpload({ channelId, attachmentId }, call) {
      const { tenantId, userId } = call.caller;
      const find = () =>
        db.run(call, (sql) => findAttachment(sql, tenantId, userId, channelId, attachmentId));
      const row = requireOwn(call.caller, (await find())[0]);
      if (row.uploadState === 'UPLOADED') return { attachment: await openAttachment(deps, row) };
      await assemble(storage, row);
      const type = await detectType(await storage.readStart(row.s3Key, START_BYTES), row.fileType ?? '');
      const [completed] = await db.run(call, (sql) => completeUpload(sql, tenantId, attachmentId, type));
      // Another call completed or removed it meanwhile.
      return {
        attachment: await openAttachment(deps, completed ?? requireOwn(call.caller, (await find())[0])),
      };
    },

    async abortUpload({ channelId, attachmentId }, call) {
      const { tenantId, userId } = call.caller;
      await db.transaction(call, async (sql) => {
        const [row] = await findAttachment(sql, tenantId, userId, channelId, attachmentId);
        if (row === undefined) throw errors.channelNotFound();
        if (row.id === null || row.uploaderId !== userId) return;
        const removed = await deleteUnsent(sql, tenantId, userId, attachmentId);
        if (removed.length === 0) throw errors.attachmentSent();
      });
      return {};
    },
  };
}

function requireUpload({ config, storage }: UploadDeps, { size, partSha256 }: CreateRequest): void {
  const { maxBytes } = config.attachment;
  if (storage.bucket === '') throw errors.storageUnavailable();
  if (size > BigInt(maxBytes)) throw errors.fieldInvalid('size', `must be at most ${maxBytes}`);
  if (partSha256.length !== countParts(size))
    throw errors.fieldInvalid('part_sha256', `must have one value for each part of ${PART_BYTES} bytes`);
}

/** Inserts a file within the quota, or returns the file of an earlier call with the same request id. */
async function claim(
  { config, storage, encryption }: UploadDeps,
  sql: Sql,
  caller: Caller,
  request: CreateRequest,
): Promise<AttachmentRow> {
  const { tenantId, userId } = caller;
  const { channelId, requestId } = request;
  const { dataKeyId } = await requirePoster(sql, caller, channelId);
  const key = await encryption.keyById(dataKeyId, channelId);
  const requestHash = hashRequest(request);
  const hash = encryption.protectHash(key, requestHash);
  const [claimed] = await claimUpload(sql, tenantId, userId, { channelId, requestId, hash });
  if (claimed === undefined) return findEarlier(encryption, sql, caller, request, requestHash);
  const { uploadUrlMs } = config.attachment;
  const tenantBytes = config.attachment.tenantMb * BYTES_PER_MB;
  const userBytes = config.attachment.userMb * BYTES_PER_MB;
  const [usage] = await reserveStorage(sql, request.size, { tenantBytes, userBytes });
  if (usage?.exceeded === 'TENANT') throw errors.storageQuotaExceeded(`tenant:${tenantId}`, tenantBytes);
  if (usage?.exceeded === 'USER') throw errors.storageQuotaExceeded(`user:${userId}`, userBytes);
  const fileName = cleanName(request.fileName);
  const storedName = key === undefined ? fileName : ENCRYPTED_FILE_NAME;
  const [row] = await insertUpload(sql, tenantId, userId, {
    id: claimed.id,
    channelId,
    fileName: storedName,
    encryptedName: key === undefined ? null : sealFileName(key, claimed.id, fileName),
    fileSize: request.size,
    fileType: request.contentType || 'application/octet-stream',
    fileExtension: extensionOf(storedName),
    bucket: storage.bucket,
    key: toKey(tenantId, channelId, storedName),
    partSha256: request.partSha256.map((sha256) => Buffer.from(sha256)),
    urlMs: uploadUrlMs,
  });
  return requireFound(row);
}

async function findEarlier(
  encryption: Deps['encryption'],
  sql: Sql,
  { tenantId, userId }: Caller,
  { channelId, requestId }: CreateRequest,
  hash: Buffer,
): Promise<AttachmentRow> {
  const [earlier] = await findClaim(sql, tenantId, userId, requestId);
  if (earlier === undefined) throw errors.conflict();
  if (earlier.method !== 'CreateUpload' || earlier.channelId !== channelId) throw errors.requestIdReused();
  if (!(await encryption.isSameHash(earlier.payloadHash, hash, channelId))) throw errors.requestIdReused();
  const [row] = await findAttachment(sql, tenantId, userId, channelId, earlier.resourceId ?? 0n);
  return requireFound(row);
}

/** Starts the multipart upload of a file of several parts, unless an earlier call did, and extends the URLs' time. */
async function prepareParts(deps: UploadDeps, call: Call, row: AttachmentRow): Promise<AttachmentRow> {
  if (row.uploadState === 'UPLOADED') return row;
  const { db, storage, config } = deps;
  const isMissing = row.partSha256.length > 1 && row.uploadId === null;
  const uploadId = isMissing ? await storage.createUpload(row.s3Key, row.fileType ?? '') : null;
  const [renewed] = await db.run(call, (sql) =>
    renewUpload(sql, call.caller.tenantId, row.id, config.attachment.uploadUrlMs, uploadId),
  );
  if (uploadId !== null && renewed?.uploadId !== uploadId) await storage.abortUpload(row.s3Key, uploadId);
  if (renewed === undefined) throw errors.conflict();
  return renewed;
}

/** Claims a request id for a new upload and returns the id of its file; no row when the request id is already used. */
function claimUpload(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  upload: { readonly channelId: bigint; readonly requestId: string; readonly hash: Buffer },
): PendingQuery<{ id: bigint }[]> {
  return sql<{ id: bigint }[]>`
    insert into idempotency_keys
      (tenant_id, user_id, request_id, method, payload_hash, channel_id, resource_id, created_at)
    select
      ${tenantId}, ${userId}, ${upload.requestId}::text::uuid, 'CreateUpload', ${upload.hash}, ${upload.channelId},
      nextval('attachments_id_seq'), now_ms()
    on conflict do nothing
    returning resource_id as id
  `;
}

/** Adds a file to the usage of the caller's tenant and user. Returns which limit it exceeds. */
function reserveStorage(
  sql: Sql,
  bytes: bigint,
  limits: { readonly tenantBytes: number; readonly userBytes: number },
): PendingQuery<{ exceeded: 'TENANT' | 'USER' | null }[]> {
  return sql<{ exceeded: 'TENANT' | 'USER' | null }[]>`
    select reserve_storage(${bytes}, ${limits.tenantBytes}::bigint, ${limits.userBytes}::bigint) as exceeded
  `;
}
