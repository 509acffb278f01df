import { durationMs } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import { ErrorInfoSchema, RetryInfoSchema } from '../gen/google/rpc/error_details_pb.ts';

const FIRST_DELAY_MS = 200;
const MAX_DELAY_MS = 30_000;

// Unknown: the network failed before a response.
const TEMPORARY: readonly Code[] = [
  Code.Unavailable,
  Code.DeadlineExceeded,
  Code.Unknown,
  Code.Unauthenticated,
];

/** Whether the same call can succeed later. A server that limits a call states after which delay. */
export function isTemporary(error: unknown): boolean {
  const { code } = ConnectError.from(error);
  return TEMPORARY.includes(code) || hintOf(error) !== undefined;
}

/** Stable reason of an error of the service, as in `ErrorReason` without its prefix. */
export function reasonOf(error: unknown): string | undefined {
  return ConnectError.from(error).findDetails(ErrorInfoSchema)[0]?.reason;
}

/** Delay before the next attempt: exponential, at least what the server asks for, with a random part. */
export function delayMs(error: unknown, attempt: number): number {
  const exponential = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** attempt);
  return Math.max(hintOf(error) ?? 0, exponential / 2) + (Math.random() * exponential) / 2;
}

/** Resolves after the time, or when the signal is aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
  });
}

function hintOf(error: unknown): number | undefined {
  const delay = ConnectError.from(error).findDetails(RetryInfoSchema)[0]?.retryDelay;
  return delay === undefined ? undefined : durationMs(delay);
}
