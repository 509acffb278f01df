import { create, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { Code, CodeSchema } from '#gen/google/rpc/code_pb.ts';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  QuotaFailureSchema,
  RetryInfoSchema,
} from '#gen/google/rpc/error_details_pb.ts';
import { ErrorReason, ErrorReasonSchema } from '#gen/serp/discuss/v1/error_pb.ts';

/** A message of `google.rpc` in the details of an error, with its descriptor. */
export type ErrorDetail = { readonly desc: DescMessage; readonly value: MessageInitShape<DescMessage> };

/** `field` is a path in the request's proto: `items[2].user_id`. */
export type FieldViolation = { readonly field: string; readonly description: string };

/**
 * An error as the client receives it, except `cause`, which goes to the log only. Handlers throw no other errors on
 * purpose; create them with `errors`.
 */
export class RpcError extends Error {
  override name = 'RpcError';
  readonly code: Code;
  readonly reason: ErrorReason;
  readonly details: readonly ErrorDetail[];

  constructor(
    code: Code,
    reason: ErrorReason,
    message: string,
    details: ErrorDetail[] = [],
    cause?: unknown,
  ) {
    super(message, { cause });
    this.code = code;
    this.reason = reason;
    this.details = [errorInfo(reason), ...details];
  }
}

/** All errors by reason. `error.proto` documents the reasons for clients. */
export const errors = {
  tokenInvalid: (cause?: unknown) =>
    new RpcError(
      Code.UNAUTHENTICATED,
      ErrorReason.TOKEN_INVALID,
      'a valid bearer token is required',
      [],
      cause,
    ),
  tokenExpired: () =>
    new RpcError(
      Code.UNAUTHENTICATED,
      ErrorReason.TOKEN_EXPIRED,
      'the token has expired; reconnect with a new one',
    ),
  accessRevoked: () =>
    new RpcError(Code.UNAUTHENTICATED, ErrorReason.ACCESS_REVOKED, 'access was revoked; sign in again'),
  revocationPending: (cause?: unknown) =>
    new RpcError(
      Code.UNAVAILABLE,
      ErrorReason.REVOCATION_PENDING,
      'the revocation cannot be passed to other instances at the moment',
      [retryAfter(1_000)],
      cause,
    ),
  keysUnavailable: (cause?: unknown) =>
    new RpcError(
      Code.UNAVAILABLE,
      ErrorReason.SIGNING_KEYS_UNAVAILABLE,
      'tokens cannot be verified at the moment',
      [retryAfter(1_000)],
      cause,
    ),
  callerNotAllowed: (message = 'the caller may not call this method') =>
    new RpcError(Code.PERMISSION_DENIED, ErrorReason.CALLER_NOT_ALLOWED, message),
  fieldInvalid: (field: string, description: string) => errors.fieldsInvalid([{ field, description }]),
  fieldsInvalid: (violations: FieldViolation[]) => {
    // Errors travel in HTTP trailers, whose size clients limit.
    const fieldViolations = violations.slice(0, 20);
    const message = fieldViolations.map(({ field, description }) => `${field}: ${description}`).join('; ');
    return new RpcError(Code.INVALID_ARGUMENT, ErrorReason.FIELD_INVALID, message, [
      detail(BadRequestSchema, { fieldViolations }),
    ]);
  },
  channelNotFound: () => new RpcError(Code.NOT_FOUND, ErrorReason.CHANNEL_NOT_FOUND, 'channel not found'),
  messageNotFound: () => new RpcError(Code.NOT_FOUND, ErrorReason.MESSAGE_NOT_FOUND, 'message not found'),
  memberNotFound: () =>
    new RpcError(Code.NOT_FOUND, ErrorReason.MEMBER_NOT_FOUND, 'the user is not a member of the channel'),
  roleTooLow: (needed: string) =>
    new RpcError(
      Code.PERMISSION_DENIED,
      ErrorReason.ROLE_TOO_LOW,
      `requires the role ${needed} in the channel`,
    ),
  memberMuted: () =>
    new RpcError(
      Code.PERMISSION_DENIED,
      ErrorReason.ROLE_TOO_LOW,
      'a muted member cannot write in the channel',
    ),
  channelArchived: () => failed(ErrorReason.CHANNEL_ARCHIVED, 'the channel is archived'),
  channelMerged: () => failed(ErrorReason.CHANNEL_MERGED, 'the channel was merged into another channel'),
  channelIsDirect: () => failed(ErrorReason.CHANNEL_IS_DIRECT, 'not possible in a direct channel'),
  lastOwner: () => failed(ErrorReason.LAST_OWNER, 'a channel must have at least one owner'),
  channelFull: (limit: number) =>
    failed(ErrorReason.CHANNEL_FULL, `a channel has at most ${limit} members of that kind`),
  channelTooLarge: (limit: number) =>
    failed(ErrorReason.CHANNEL_TOO_LARGE, `only available in channels of at most ${limit} members`),
  messageDeleted: () => failed(ErrorReason.MESSAGE_DELETED, 'the message was deleted'),
  notAuthor: () =>
    new RpcError(
      Code.PERMISSION_DENIED,
      ErrorReason.CALLER_NOT_ALLOWED,
      'only the author of the message may do this',
    ),
  editWindowOver: (hours: number) =>
    failed(ErrorReason.EDIT_WINDOW_EXPIRED, `a message can be edited for ${hours} hours`),
  messageTypeWrong: () =>
    failed(ErrorReason.MESSAGE_TYPE_UNSUPPORTED, 'not possible for a message of this type'),
  reactionLimit: () => failed(ErrorReason.REACTION_LIMIT, 'the message has reached the limit of reactions'),
  pollClosed: () => failed(ErrorReason.POLL_CLOSED, 'voting on the poll has ended'),
  pinLimit: (limit: number) =>
    failed(ErrorReason.PIN_LIMIT, `a channel has at most ${limit} pinned messages`),
  requestIdReused: () =>
    new RpcError(
      Code.ALREADY_EXISTS,
      ErrorReason.REQUEST_ID_REUSED,
      'this request_id was used with a different request',
    ),
  rateLimited: (subject: string, limit: string, retryMs: number) =>
    exhausted(ErrorReason.RATE_LIMITED, `limit reached: ${limit}`, [
      retryAfter(retryMs),
      detail(QuotaFailureSchema, { violations: [{ subject, description: limit }] }),
    ]),
  overloaded: (what: string, retryMs: number) =>
    exhausted(ErrorReason.OVERLOADED, `overloaded: ${what}`, [retryAfter(retryMs)]),
  requestTooLarge: (limitBytes: number) =>
    exhausted(ErrorReason.REQUEST_TOO_LARGE, `a request has at most ${limitBytes} bytes`),
  databaseUnavailable: (cause?: unknown) =>
    new RpcError(
      Code.UNAVAILABLE,
      ErrorReason.DATABASE_UNAVAILABLE,
      'the database is unavailable at the moment',
      [retryAfter(500)],
      cause,
    ),
  serverDraining: () =>
    new RpcError(Code.UNAVAILABLE, ErrorReason.SERVER_DRAINING, 'the server is stopping; reconnect', [
      retryAfter(100),
    ]),
  conflict: (cause?: unknown) =>
    new RpcError(
      Code.ABORTED,
      ErrorReason.CONFLICT,
      'conflict with a concurrent change; try again',
      [retryAfter(20)],
      cause,
    ),
  etagMismatch: () =>
    new RpcError(
      Code.ABORTED,
      ErrorReason.ETAG_MISMATCH,
      'it has changed since the version of this etag; read it again',
    ),
  deadlineExceeded: (cause?: unknown) =>
    new RpcError(Code.DEADLINE_EXCEEDED, ErrorReason.DEADLINE_EXCEEDED, 'deadline exceeded', [], cause),
  cancelled: () => new RpcError(Code.CANCELLED, ErrorReason.UNSPECIFIED, 'cancelled by the client'),
  internal: (requestId: string, cause?: unknown) =>
    new RpcError(Code.INTERNAL, ErrorReason.INTERNAL, `internal error, request ${requestId}`, [], cause),
};

/** Name of a code as in the gRPC documents: `NOT_FOUND`. */
export function codeName(code: Code): string {
  return CodeSchema.value[code]?.name ?? 'UNKNOWN';
}

/** Name of a reason as clients see it: `CHANNEL_NOT_FOUND`. */
export function reasonName(reason: ErrorReason): string {
  return (ErrorReasonSchema.value[reason]?.name ?? 'ERROR_REASON_UNSPECIFIED').slice('ERROR_REASON_'.length);
}

function failed(reason: ErrorReason, message: string): RpcError {
  return new RpcError(Code.FAILED_PRECONDITION, reason, message);
}

function exhausted(reason: ErrorReason, message: string, details: ErrorDetail[] = []): RpcError {
  return new RpcError(Code.RESOURCE_EXHAUSTED, reason, message, details);
}

function errorInfo(reason: ErrorReason): ErrorDetail {
  return detail(ErrorInfoSchema, { reason: reasonName(reason), domain: 'discuss.serp' });
}

function retryAfter(ms: number): ErrorDetail {
  return detail(RetryInfoSchema, { retryDelay: durationFromMs(Math.ceil(ms)) });
}

function detail<Desc extends DescMessage>(desc: Desc, init: MessageInitShape<Desc>): ErrorDetail {
  return { desc, value: create(desc, init) };
}
