import { ApiError, type Code } from './api-error.ts';

const FIRST_DELAY_MS = 200;
const MAX_DELAY_MS = 30_000;

// Unknown: a proxy failed before a response of the service.
const TEMPORARY: readonly Code[] = ['unavailable', 'deadline_exceeded', 'unknown', 'unauthenticated'];

/** Whether the same call can succeed later. A server that limits a call states after which delay. */
export function isTemporary(error: unknown): boolean {
  const { code, details } = ApiError.from(error);
  return TEMPORARY.includes(code) || details.retryDelayMs !== undefined;
}

/** Delay before the next attempt: exponential, at least what the server asks for, with a random part. */
export function delayMs(error: unknown, attempt: number): number {
  const { retryDelayMs = 0 } = ApiError.from(error).details;
  const exponential = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** attempt);
  return Math.max(retryDelayMs, exponential / 2) + (Math.random() * exponential) / 2;
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
