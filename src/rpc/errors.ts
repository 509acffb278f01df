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

/** A message of `google.rpc` that tells the client more, with its descriptor. */
export type ErrorDetail = { readonly desc: DescMessage; readonly value: MessageInitShape<DescMessage> };

/** A field of the request and what is wrong with it; the field by its path in the proto, `items[2].user_id`. */
export type FieldViolation = { readonly field: string; readonly description: string };

/**
 * Why a call is not served: what the client is told, and nothing else. Everything a handler throws on purpose
 * is one of these; make them with `refuse`. `cause` is for the log alone.
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

/** Every refusal there is, by reason. `error.proto` says to clients what each one means. */
export const errors = {
  tokenInvalid: (cause?: unknown) =>
    new RpcError(
      Code.UNAUTHENTICATED,
      ErrorReason.TOKEN_INVALID,
      'a valid bearer token is required',
      [],
      cause,
    ),
  keysUnavailable: (cause?: unknown) =>
    new RpcError(
      Code.UNAVAILABLE,
      ErrorReason.SIGNING_KEYS_UNAVAILABLE,
      'tokens cannot be checked at the moment',
      [retryAfter(1_000)],
      cause,
    ),
  callerNotAllowed: (message = 'the caller may not use this method') =>
    new RpcError(Code.PERMISSION_DENIED, ErrorReason.CALLER_NOT_ALLOWED, message),
  fieldInvalid: (field: string, description: string) => errors.fieldsInvalid([{ field, description }]),
  fieldsInvalid: (violations: FieldViolation[]) => {
    // The answer travels in HTTP trailers, which clients do not take in any size.
    const fieldViolations = violations.slice(0, 20);
    const message = fieldViolations.map(({ field, description }) => `${field}: ${description}`).join('; ');
    return new RpcError(Code.INVALID_ARGUMENT, ErrorReason.FIELD_INVALID, message, [
      detail(BadRequestSchema, { fieldViolations }),
    ]);
  },
  channelNotFound: () => new RpcError(Code.NOT_FOUND, ErrorReason.CHANNEL_NOT_FOUND, 'no such channel'),
  messageNotFound: () => new RpcError(Code.NOT_FOUND, ErrorReason.MESSAGE_NOT_FOUND, 'no such message'),
  memberNotFound: () =>
    new RpcError(Code.NOT_FOUND, ErrorReason.MEMBER_NOT_FOUND, 'that user is no member of the channel'),
  roleTooLow: (needed: string) =>
    new RpcError(Code.PERMISSION_DENIED, ErrorReason.ROLE_TOO_LOW, `needs the role ${needed} in the channel`),
  memberMuted: () =>
    new RpcError(
      Code.PERMISSION_DENIED,
      ErrorReason.ROLE_TOO_LOW,
      'the member is muted in the channel: it may read, but not write',
    ),
  channelArchived: () => failed(ErrorReason.CHANNEL_ARCHIVED, 'the channel is archived'),
  channelMerged: () => failed(ErrorReason.CHANNEL_MERGED, 'the discussion goes on in another channel'),
  channelIsDirect: () => failed(ErrorReason.CHANNEL_IS_DIRECT, 'that cannot be done to a direct channel'),
  lastOwner: () => failed(ErrorReason.LAST_OWNER, 'a channel keeps at least one owner'),
  channelFull: (limit: number) =>
    failed(ErrorReason.CHANNEL_FULL, `a channel has at most ${limit} members of that kind`),
  channelTooLarge: (limit: number) =>
    failed(ErrorReason.CHANNEL_TOO_LARGE, `that can be asked of channels of at most ${limit} members`),
  messageDeleted: () => failed(ErrorReason.MESSAGE_DELETED, 'the message was deleted'),
  notAuthor: () =>
    new RpcError(
      Code.PERMISSION_DENIED,
      ErrorReason.CALLER_NOT_ALLOWED,
      'only the author may do that to the message',
    ),
  editWindowOver: (hours: number) =>
    failed(ErrorReason.EDIT_WINDOW_EXPIRED, `a message may be edited for ${hours} hours`),
  messageTypeWrong: () =>
    failed(ErrorReason.MESSAGE_TYPE_UNSUPPORTED, 'that cannot be done to a message of this type'),
  reactionLimit: () => failed(ErrorReason.REACTION_LIMIT, 'the message has as many reactions as it may have'),
  pollClosed: () => failed(ErrorReason.POLL_CLOSED, 'voting on the poll has ended'),
  pinLimit: (limit: number) =>
    failed(ErrorReason.PIN_LIMIT, `a channel has at most ${limit} pinned messages`),
  requestIdReused: () =>
    new RpcError(
      Code.ALREADY_EXISTS,
      ErrorReason.REQUEST_ID_REUSED,
      'this request_id was used before with another request',
    ),
  rateLimited: (subject: string, limit: string, retryMs: number) =>
    exhausted(ErrorReason.RATE_LIMITED, `limit reached: ${limit}`, [
      retryAfter(retryMs),
      detail(QuotaFailureSchema, { violations: [{ subject, description: limit }] }),
    ]),
  overloaded: (what: string, retryMs: number) =>
    exhausted(ErrorReason.OVERLOADED, `too much work is waiting: ${what}`, [retryAfter(retryMs)]),
  requestTooLarge: (limitBytes: number) =>
    exhausted(ErrorReason.REQUEST_TOO_LARGE, `a request has at most ${limitBytes} bytes`),
  databaseUnavailable: (cause?: unknown) =>
    new RpcError(
      Code.UNAVAILABLE,
      ErrorReason.DATABASE_UNAVAILABLE,
      'the database cannot be reached at the moment',
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
      'the change met another one; try again',
      [retryAfter(20)],
      cause,
    ),
  deadlinePassed: (cause?: unknown) =>
    new RpcError(Code.DEADLINE_EXCEEDED, ErrorReason.DEADLINE_EXCEEDED, 'the deadline has passed', [], cause),
  cancelled: () => new RpcError(Code.CANCELLED, ErrorReason.UNSPECIFIED, 'the client has gone'),
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
