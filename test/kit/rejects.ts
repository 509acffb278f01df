import assert from 'node:assert/strict';
import { Code, ConnectError } from '@connectrpc/connect';
import { BadRequestSchema, ErrorInfoSchema } from '#gen/google/rpc/error_details_pb.ts';

/** Asserts that a call is refused with a code and a reason of `error.proto`; returns the error. */
export async function rejects(call: Promise<unknown>, code: Code, reason: string): Promise<ConnectError> {
  const error = await call.then(
    () => assert.fail(`answered, though it should be refused as ${reason}`),
    (thrown: unknown) => ConnectError.from(thrown),
  );
  assertError(error, code, reason);
  return error;
}

/** Asserts the code and the reason of the error with which a call or stream ended. */
export function assertError(error: ConnectError | undefined, code: Code, reason: string): void {
  assert.ok(error !== undefined);
  assert.equal(Code[error.code], Code[code], error.rawMessage);
  assert.deepEqual(
    error.findDetails(ErrorInfoSchema).map((info) => info.reason),
    [reason],
  );
}

/** Asserts that a call is refused for invalid fields; returns the name of each once. */
export async function fieldsOf(call: Promise<unknown>): Promise<string[]> {
  const error = await rejects(call, Code.InvalidArgument, 'FIELD_INVALID');
  const violations = error.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations);
  return [...new Set(violations.map(({ field }) => field))];
}
