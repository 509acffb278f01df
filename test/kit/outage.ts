import assert from 'node:assert/strict';
import { Code, ConnectError } from '@connectrpc/connect';

/** Repeats a call until it succeeds, and adds its errors to `rejections`; throws those of a call that may not be repeated. */
export async function insist<T>(
  signal: AbortSignal,
  call: () => Promise<T>,
  rejections: ConnectError[] = [],
): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      signal.throwIfAborted();
      rejections.push(unavailable(error));
    }
  }
}

/** The error of a call that may be repeated; throws any other, which would be repeated forever. */
export function unavailable(error: unknown): ConnectError {
  const rejection = ConnectError.from(error);
  assert.equal(Code[rejection.code], 'Unavailable', rejection.message);
  return rejection;
}
