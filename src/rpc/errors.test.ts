import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { suite, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import type { Code } from '#gen/google/rpc/code_pb.ts';
import { LocalizedMessageSchema } from '#gen/google/rpc/error_details_pb.ts';
import { ErrorReasonSchema } from '#gen/serp/discuss/v1/error_pb.ts';
import { toDetails } from './error-details.ts';
import { type ReasonName, reasons } from './error-reasons.ts';
import { codeName, errors, type Metadata, type RpcError } from './errors.ts';
import { toRpcError } from './interceptors/map-errors.ts';

const mapped: [what: string, error: unknown, code: string | undefined, reason?: string][] = [
  ['a serialization failure', database('40001'), 'ABORTED', 'CONFLICT'],
  ['a deadlock', database('40P01'), 'ABORTED', 'CONFLICT'],
  ['a duplicate', database('23505', 'some_key'), 'ABORTED', 'CONFLICT'],
  ['a statement that ran too long', database('57014'), 'DEADLINE_EXCEEDED', 'DEADLINE_EXCEEDED'],
  ['a database that stops', database('57P01'), 'UNAVAILABLE', 'DATABASE_UNAVAILABLE'],
  ['a database that starts', database('57P03'), 'UNAVAILABLE', 'DATABASE_UNAVAILABLE'],
  ['no connections left', database('53300'), 'UNAVAILABLE', 'DATABASE_UNAVAILABLE'],
  ['a full disk', database('53100'), 'UNAVAILABLE', 'DATABASE_UNAVAILABLE'],
  ['a standby', database('25006'), 'UNAVAILABLE', 'DATABASE_UNAVAILABLE'],
  ['a broken protocol', database('08P01'), 'UNAVAILABLE', 'DATABASE_UNAVAILABLE'],
  ['a connection closed under a query', coded('CONNECTION_CLOSED'), 'UNAVAILABLE', 'DATABASE_UNAVAILABLE'],
  ['a rejected connection', coded('ECONNREFUSED'), 'UNAVAILABLE', 'DATABASE_UNAVAILABLE'],
  ['a reset connection', coded('ECONNRESET'), 'UNAVAILABLE', 'DATABASE_UNAVAILABLE'],
  ['text with U+0000', database('22021'), 'INVALID_ARGUMENT', 'FIELD_INVALID'],
  ['JSON with U+0000', database('22P05'), 'INVALID_ARGUMENT', 'FIELD_INVALID'],
  ['a deleted channel', database('23503', 'messages_channel_id_fkey'), 'NOT_FOUND', 'CHANNEL_NOT_FOUND'],
  ['a deleted parent', database('23503', 'messages_parent_id_fkey'), 'NOT_FOUND', 'MESSAGE_NOT_FOUND'],
  ['another missing row', database('23503', 'other_fkey'), undefined],
  ['a broken check', database('23514', 'content_not_empty'), undefined],
  ['an unknown column', database('42703'), undefined],
  ['a type error', new TypeError('x is not a function'), undefined],
  ['a thrown string', 'oops', undefined],
  ['an abort', new DOMException('aborted', 'AbortError'), 'CANCELLED'],
  ['a timeout', new DOMException('timeout', 'TimeoutError'), 'DEADLINE_EXCEEDED', 'DEADLINE_EXCEEDED'],
];
for (const [what, error, code, reason] of mapped) {
  test(`${what} becomes ${code ?? 'a defect'}`, () => {
    const rpcError = toRpcError(error);
    assert.equal(rpcError && codeName(rpcError.code), code);
    if (reason !== undefined) assert.equal(rpcError?.reasonName, reason);
    assert.doesNotMatch(rpcError?.message ?? '', /secret/);
  });
}

test('an RpcError is not changed', () => {
  const rpcError = errors.lastOwner();
  assert.equal(toRpcError(rpcError), rpcError);
});

const samples: Readonly<Record<ReasonName, RpcError>> = {
  UNSPECIFIED: errors.cancelled(),
  TOKEN_INVALID: errors.tokenInvalid(),
  TOKEN_EXPIRED: errors.tokenExpired(1_700_000_000_000),
  ACCESS_REVOKED: errors.accessRevoked(1n, 2n),
  CALLER_NOT_ALLOWED: errors.callerNotAllowed(),
  ROLE_TOO_LOW: errors.roleTooLow('ADMIN', 'MEMBER'),
  FIELD_INVALID: errors.fieldInvalid('name', 'must not be blank'),
  LEGAL_HOLD: errors.legalHold(1n, 2n),
  CHANNEL_NOT_FOUND: errors.channelNotFound(),
  MESSAGE_NOT_FOUND: errors.messageNotFound(),
  MEMBER_NOT_FOUND: errors.memberNotFound(),
  USER_NOT_FOUND: errors.usersNotFound([8n, 9n]),
  DIRECTORY_UNAVAILABLE: errors.directoryUnavailable(),
  ENCRYPTION_NOT_CONFIGURED: errors.encryptionNotConfigured(),
  ENCRYPTION_KEY_UNAVAILABLE: errors.encryptionKeyUnavailable(1n),
  CONTENT_CORRUPTED: errors.contentCorrupted(1n),
  CHANNEL_ARCHIVED: errors.channelArchived(),
  CHANNEL_MERGED: errors.channelMerged(7n),
  CHANNEL_IS_DIRECT: errors.channelIsDirect(),
  CHANNEL_FULL: errors.channelFull(10, 11),
  CHANNEL_TOO_LARGE: errors.channelTooLarge(10, 11),
  LAST_OWNER: errors.lastOwner(),
  MESSAGE_DELETED: errors.messageDeleted(),
  MESSAGE_TYPE_UNSUPPORTED: errors.messageTypeWrong('SYSTEM'),
  EDIT_WINDOW_EXPIRED: errors.editWindowOver(24),
  REACTION_LIMIT: errors.reactionLimit(20, 2_000),
  POLL_CLOSED: errors.pollClosed(1_700_000_000_000n),
  PIN_LIMIT: errors.pinLimit(50),
  REQUEST_ID_REUSED: errors.requestIdReused(),
  RATE_LIMITED: errors.rateLimited({ subject: 'user:1', limit: 60, description: '60 writes' }, 1_000),
  OVERLOADED: errors.overloaded('calls', 2_000, 1_000),
  REQUEST_TOO_LARGE: errors.requestTooLarge(65_536),
  DATABASE_UNAVAILABLE: errors.databaseUnavailable(),
  SIGNING_KEYS_UNAVAILABLE: errors.keysUnavailable(),
  SERVER_DRAINING: errors.serverDraining(),
  REVOCATION_PENDING: errors.revocationPending(),
  CONFLICT: errors.conflict(),
  ETAG_MISMATCH: errors.etagMismatch('abc'),
  ATTACHMENT_NOT_FOUND: errors.attachmentNotFound(),
  ATTACHMENT_NOT_CLEAN: errors.attachmentNotClean(6n, 'PENDING'),
  ATTACHMENT_SENT: errors.attachmentSent(),
  UPLOAD_INCOMPLETE: errors.uploadIncomplete('missing parts: 1'),
  STORAGE_QUOTA_EXCEEDED: errors.storageQuotaExceeded('user:1', 1_000),
  STORAGE_UNAVAILABLE: errors.storageUnavailable(),
  DEADLINE_EXCEEDED: errors.deadlineExceeded(),
  INTERNAL: errors.internal('call-1'),
};

// What the interceptor takes from the call and its request, and values of which an error has only some.
const context: Metadata = {
  channel_id: 3n,
  message_id: 4n,
  attachment_id: 6n,
  user_id: 5n,
  request_id: 'r',
  caller: 'user',
  timeout_ms: 15_000,
  tenant_id: 1n,
  entity_type: 'order',
  entity_id: 9n,
  member_status: 'MUTED',
  merged_into_channel_id: 8n,
};

suite('every reason', async () => {
  const proto = await readFile('proto/serp/discuss/v1/error.proto', 'utf8');
  for (const [name, error] of Object.entries(samples)) {
    const definition: { code: Code; metadata: readonly string[]; en: string; vi: string } =
      reasons[error.reasonName];

    test(`${name} has the code and the metadata that the contract documents`, () => {
      assert.equal(error.reasonName, name);
      assert.equal(ErrorReasonSchema.value[error.reason]?.name, `ERROR_REASON_${name}`);
      const comment =
        new RegExp(`((?:\\n {2}//[^\\n]*)+)\\n {2}ERROR_REASON_${name} =`).exec(proto)?.[1] ?? '';
      const text = comment.replaceAll(/\n {2}\/\/ ?/g, ' ').trim();
      assert.ok(text.startsWith(`${codeName(error.code)}: `), text);
      const documented = text.split('Metadata: ')[1]?.matchAll(/`(\w+)`/g) ?? [];
      const keys = [...documented].map(([, key]) => key).filter((key) => allKeys.has(`${key}`));
      assert.deepEqual(keys, [...definition.metadata]);
    });

    test(`${name} has its metadata and a text in both languages`, () => {
      error.complete(context);
      assert.deepEqual(Object.keys(error.metadata).sort(), [...definition.metadata].sort());
      const texts = (['en', 'vi'] as const).map((locale) => {
        assert.deepEqual(placeholdersOf(definition[locale]), placeholdersOf(definition.en));
        const [localized] = toDetails(error, locale).flatMap(({ desc, value }) =>
          desc === LocalizedMessageSchema ? [create(LocalizedMessageSchema, value)] : [],
        );
        assert.equal(localized?.locale, locale);
        assert.match(localized?.message ?? '', /^\p{Lu}[^{}]+\.$/u);
        return localized?.message;
      });
      assert.notEqual(texts[0], texts[1]);
    });
  }

  const allKeys = new Set<string>(
    Object.values(reasons).flatMap(({ metadata }): readonly string[] => metadata),
  );
  const placeholdersOf = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map(([, key]) => key);
});

for (const [acceptLanguage, locale] of [
  [undefined, 'en'],
  ['', 'en'],
  ['vi', 'vi'],
  ['vi-VN,vi;q=0.9,en-US;q=0.8,en;q=0.7', 'vi'],
  ['en-US,en;q=0.9,vi;q=0.8', 'en'],
  ['fr, vi;q=0.3', 'vi'],
  ['VI; q=0.5, en; q=0.4', 'vi'],
  ['vi;q=0, *', 'en'],
  ['fr,de', 'en'],
  ['view, vi;q=2x', 'en'],
]) {
  test(`accept-language ${JSON.stringify(acceptLanguage)} selects ${locale}`, () => {
    const values = toDetails(errors.lastOwner(), acceptLanguage).map(({ value }) =>
      Reflect.get(value, 'locale'),
    );
    assert.equal(values.at(-1), locale);
  });
}

test('an error of many fields is small enough for trailers', () => {
  const violations = Array.from({ length: 5_000 }, (_, index) => ({
    field: `cursors[${index}].seq`,
    description: 'x',
  }));
  assert.ok(errors.fieldsInvalid(violations).message.length < 2_000);
});

function database(state: string, constraint?: string): Error {
  return Object.assign(coded(state), { constraint_name: constraint, detail: 'secret' });
}

function coded(code: string): Error {
  return Object.assign(new Error(`secret ${code}`), { code });
}
