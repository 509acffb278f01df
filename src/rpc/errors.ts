import { create, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf';
import { type Code, CodeSchema } from '#gen/google/rpc/code_pb.ts';
import { BadRequestSchema, QuotaFailureSchema } from '#gen/google/rpc/error_details_pb.ts';
import { ErrorReason } from '#gen/serp/discuss/v1/error_pb.ts';
import { type MetadataKey, type ReasonName, reasons } from './error-reasons.ts';

/** A message of `google.rpc` in the details of an error, with its descriptor. */
export type ErrorDetail = { readonly desc: DescMessage; readonly value: MessageInitShape<DescMessage> };

/** `field` is a path in the request's proto: `items[2].user_id`. */
export type FieldViolation = { readonly field: string; readonly description: string };

/** Values of the metadata of an error; those that are undefined are left out. */
export type Metadata = { readonly [K in MetadataKey]?: bigint | number | string | null | undefined };

/** `description` names the limit for developers. */
export type QuotaText = {
  readonly subject: string;
  readonly limit: number;
  readonly description: string;
};

// Errors travel in HTTP trailers, whose size clients limit.
const MAX_NAMED_USERS = 20;

type Rest = {
  /** Details besides those that follow from reason and metadata. */
  readonly details?: readonly ErrorDetail[];
  readonly cause?: unknown;
};

/**
 * An error as the client receives it, except `cause`, which goes to the log only. Handlers throw no other errors on
 * purpose; create them with `errors`. The message is for developers; users get the texts in `reasons`.
 */
export class RpcError extends Error {
  override name = 'RpcError';
  readonly code: Code;
  readonly reason: ErrorReason;
  readonly reasonName: ReasonName;
  readonly details: readonly ErrorDetail[];
  readonly #metadata: Record<string, string> = {};

  constructor(reason: ReasonName, message: string, metadata: Metadata = {}, rest: Rest = {}) {
    // A trace of asynchronous calls costs up to 0.1 ms, and the reason states where an error is thrown.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(message, { cause: rest.cause });
    Error.stackTraceLimit = stackTraceLimit;
    this.code = reasons[reason].code;
    this.reason = ErrorReason[reason];
    this.reasonName = reason;
    this.details = rest.details ?? [];
    this.complete(metadata);
  }

  get metadata(): Readonly<Record<string, string>> {
    return this.#metadata;
  }

  /** Adds those values that errors of this reason have and that are not set yet. */
  complete(values: Metadata): void {
    for (const key of reasons[this.reasonName].metadata) {
      const value = values[key];
      if (value !== undefined && value !== null) this.#metadata[key] ??= `${value}`;
    }
  }
}

/**
 * All errors by reason. `error.proto` documents the reasons for clients. Ids that are in the request, and data of the
 * call, are added to the metadata by the interceptor `mapErrors`.
 */
export const errors = {
  tokenInvalid: (cause?: unknown) =>
    new RpcError('TOKEN_INVALID', 'a valid bearer token is required', {}, { cause }),
  tokenExpired: (expireMs: number) =>
    new RpcError('TOKEN_EXPIRED', 'the token has expired; reconnect with a new one', {
      expire_time: new Date(expireMs).toISOString(),
    }),
  accessRevoked: (tenantId: bigint, userId: bigint) =>
    new RpcError('ACCESS_REVOKED', 'access was revoked; sign in again', {
      tenant_id: tenantId,
      user_id: userId,
    }),
  revocationPending: (cause?: unknown) =>
    retryable(
      'REVOCATION_PENDING',
      'the revocation cannot be passed to other instances at the moment',
      1_000,
      cause,
    ),
  keysUnavailable: (cause?: unknown) =>
    retryable('SIGNING_KEYS_UNAVAILABLE', 'tokens cannot be verified at the moment', 1_000, cause),
  callerNotAllowed: (message = 'the caller may not call this method', metadata: Metadata = {}) =>
    new RpcError('CALLER_NOT_ALLOWED', message, metadata),
  notAuthor: () => new RpcError('CALLER_NOT_ALLOWED', 'only the author of the message may do this'),
  fieldInvalid: (field: string, description: string) => errors.fieldsInvalid([{ field, description }]),
  fieldsInvalid: (violations: FieldViolation[]) => {
    // Errors travel in HTTP trailers, whose size clients limit.
    const fieldViolations = violations.slice(0, 20);
    const message = fieldViolations.map(({ field, description }) => `${field}: ${description}`).join('; ');
    const details = [detail(BadRequestSchema, { fieldViolations })];
    return new RpcError('FIELD_INVALID', message, { field: fieldViolations[0]?.field }, { details });
  },
  channelNotFound: (channelId?: bigint) =>
    new RpcError('CHANNEL_NOT_FOUND', 'channel not found', { channel_id: channelId }),
  topicNotFound: (entity: { readonly type: string; readonly id: bigint }) =>
    new RpcError('CHANNEL_NOT_FOUND', 'channel not found', {
      entity_type: entity.type,
      entity_id: entity.id,
    }),
  messageNotFound: () => new RpcError('MESSAGE_NOT_FOUND', 'message not found'),
  memberNotFound: () => new RpcError('MEMBER_NOT_FOUND', 'the user is not a member of the channel'),
  usersNotFound: (userIds: readonly bigint[]) => {
    const named = userIds.slice(0, MAX_NAMED_USERS).join(',');
    return new RpcError('USER_NOT_FOUND', `not users of the tenant: ${named}`, {
      user_ids: named,
      user_count: userIds.length,
    });
  },
  directoryUnavailable: (cause?: unknown) =>
    retryable('DIRECTORY_UNAVAILABLE', 'users cannot be looked up at the moment', 1_000, cause),
  roleTooLow: (needed: string, role: string | null) =>
    new RpcError('ROLE_TOO_LOW', `requires the role ${needed} in the channel`, {
      required_role: needed,
      role,
    }),
  memberMuted: () =>
    new RpcError('ROLE_TOO_LOW', 'a muted member cannot write in the channel', { member_status: 'MUTED' }),
  channelArchived: (mergedInto?: bigint | null) =>
    new RpcError('CHANNEL_ARCHIVED', 'the channel is archived', { merged_into_channel_id: mergedInto }),
  channelMerged: (mergedInto: bigint) =>
    new RpcError('CHANNEL_MERGED', 'the channel was merged into another channel', {
      merged_into_channel_id: mergedInto,
    }),
  channelIsDirect: () => new RpcError('CHANNEL_IS_DIRECT', 'not possible in a direct channel'),
  lastOwner: () => new RpcError('LAST_OWNER', 'a channel must have at least one owner'),
  channelFull: (limit: number, members: number) =>
    new RpcError('CHANNEL_FULL', `a channel has at most ${limit} members of that kind`, {
      limit,
      member_count: members,
    }),
  channelTooLarge: (limit: number, members: number) =>
    new RpcError('CHANNEL_TOO_LARGE', `only available in channels of at most ${limit} members`, {
      limit,
      member_count: members,
    }),
  messageDeleted: () => new RpcError('MESSAGE_DELETED', 'the message was deleted'),
  editWindowOver: (hours: number) =>
    new RpcError('EDIT_WINDOW_EXPIRED', `a message can be edited for ${hours} hours`, { limit_hours: hours }),
  messageTypeWrong: (type: string) =>
    new RpcError('MESSAGE_TYPE_UNSUPPORTED', 'not possible for a message of this type', {
      message_type: type,
    }),
  reactionLimit: (kinds: number, users: number) =>
    new RpcError('REACTION_LIMIT', 'the message has reached the limit of reactions', {
      kind_limit: kinds,
      user_limit: users,
    }),
  pollClosed: (closeMs: bigint) =>
    new RpcError('POLL_CLOSED', 'voting on the poll has ended', {
      close_time: new Date(Number(closeMs)).toISOString(),
    }),
  pinLimit: (limit: number) =>
    new RpcError('PIN_LIMIT', `a channel has at most ${limit} pinned messages`, { limit }),
  attachmentNotFound: (attachmentId?: bigint) =>
    new RpcError('ATTACHMENT_NOT_FOUND', 'attachment not found', { attachment_id: attachmentId }),
  attachmentNotClean: (attachmentId: bigint, status: string) =>
    new RpcError('ATTACHMENT_NOT_CLEAN', `the scan status of the file is ${status}`, {
      attachment_id: attachmentId,
      scan_status: status,
    }),
  attachmentSent: () => new RpcError('ATTACHMENT_SENT', 'the file is part of a message'),
  uploadIncomplete: (message: string) => new RpcError('UPLOAD_INCOMPLETE', message),
  storageQuotaExceeded: (subject: string, limitBytes: number) => {
    const violations = [{ subject, description: `${limitBytes} bytes of files` }];
    return new RpcError(
      'STORAGE_QUOTA_EXCEEDED',
      `files may have at most ${limitBytes} bytes together`,
      { subject, limit_bytes: limitBytes },
      { details: [detail(QuotaFailureSchema, { violations })] },
    );
  },
  storageUnavailable: (cause?: unknown) =>
    retryable('STORAGE_UNAVAILABLE', 'the store of files is unavailable at the moment', 1_000, cause),
  legalHold: (tenantId: bigint, holdId: bigint) =>
    new RpcError('LEGAL_HOLD', 'a legal hold keeps what was to be erased', {
      tenant_id: tenantId,
      hold_id: holdId,
    }),
  requestIdReused: () =>
    new RpcError('REQUEST_ID_REUSED', 'this request_id was used with a different request'),
  rateLimited: ({ subject, limit, description }: QuotaText, retryMs: number) =>
    new RpcError(
      'RATE_LIMITED',
      `limit reached: ${description}`,
      { subject, limit, retry_delay_ms: Math.ceil(retryMs) },
      { details: [detail(QuotaFailureSchema, { violations: [{ subject, description }] })] },
    ),
  /** `limit` is the number of calls or streams that the server accepts. */
  overloaded: (what: string, limit: number, retryMs: number) =>
    new RpcError('OVERLOADED', `overloaded: ${what}`, { limit, retry_delay_ms: Math.ceil(retryMs) }),
  requestTooLarge: (limitBytes: number) =>
    new RpcError('REQUEST_TOO_LARGE', `a request has at most ${limitBytes} bytes`, {
      limit_bytes: limitBytes,
    }),
  databaseUnavailable: (cause?: unknown) =>
    retryable('DATABASE_UNAVAILABLE', 'the database is unavailable at the moment', 500, cause),
  serverDraining: () => retryable('SERVER_DRAINING', 'the server is stopping; reconnect', 100),
  encryptionNotConfigured: () =>
    new RpcError('ENCRYPTION_NOT_CONFIGURED', 'the service has no key for encryption'),
  encryptionKeyUnavailable: (channelId?: bigint) =>
    new RpcError('ENCRYPTION_KEY_UNAVAILABLE', 'the key of the channel is not available at the moment', {
      channel_id: channelId,
      retry_delay_ms: 5_000,
    }),
  contentCorrupted: (messageId?: bigint) =>
    new RpcError('CONTENT_CORRUPTED', 'the stored content of the message was changed', {
      message_id: messageId,
    }),
  conflict: (cause?: unknown) =>
    retryable('CONFLICT', 'conflict with a concurrent change; try again', 20, cause),
  etagMismatch: (currentEtag: string) =>
    new RpcError('ETAG_MISMATCH', 'it has changed since the version of this etag; read it again', {
      current_etag: currentEtag,
    }),
  deadlineExceeded: (cause?: unknown) =>
    new RpcError('DEADLINE_EXCEEDED', 'deadline exceeded', {}, { cause }),
  cancelled: () => new RpcError('UNSPECIFIED', 'cancelled by the client'),
  internal: (requestId: string, cause?: unknown) =>
    new RpcError('INTERNAL', `internal error, request ${requestId}`, { call_id: requestId }, { cause }),
};

/** Name of a code as in the gRPC documents: `NOT_FOUND`. */
export function codeName(code: Code): string {
  return CodeSchema.value[code]?.name ?? 'UNKNOWN';
}

export function detail<Desc extends DescMessage>(desc: Desc, init: MessageInitShape<Desc>): ErrorDetail {
  return { desc, value: create(desc, init) };
}

function retryable(reason: ReasonName, message: string, retryMs: number, cause?: unknown): RpcError {
  return new RpcError(reason, message, { retry_delay_ms: retryMs }, { cause });
}
