import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorReason, ErrorReasonSchema } from '#gen/serp/discuss/v1/error_pb.ts';
import { codeName, errors, RpcError, reasonName } from './errors.ts';
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
    if (reason !== undefined) assert.equal(rpcError && reasonName(rpcError.reason), reason);
    assert.doesNotMatch(rpcError?.message ?? '', /secret/);
  });
}

test('an RpcError is not changed', () => {
  const rpcError = errors.lastOwner();
  assert.equal(toRpcError(rpcError), rpcError);
});

test('every reason of the contract has an error', () => {
  const reasons = Object.values(errors).map((make) => {
    const rpcError: unknown = Reflect.apply(make, undefined, [[], 1, 1]);
    assert.ok(rpcError instanceof RpcError);
    return rpcError.reason;
  });
  const missing = ErrorReasonSchema.values.filter(
    ({ number }) => !reasons.some((reason) => reason === number),
  );
  assert.deepEqual(
    missing.map(({ name }) => name),
    [],
  );
  assert.ok(reasons.includes(ErrorReason.UNSPECIFIED), 'a call cancelled by its client has no reason');
});

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
