import { setTimeout as sleep } from 'node:timers/promises';

const CANCEL_MS = 5_000;

/**
 * Cancels the query when the signal aborts; the returned function waits until PostgreSQL has received the cancellation, which
 * would otherwise stop the next statement on the connection. Not before the query sent before it has settled: of a query
 * that the driver still counts as waiting, a cancellation is sent, and its result taken for that of the next one, so that it
 * never settles.
 */
export function cancelOnAbort(
  previous: PromiseLike<unknown>,
  query: PromiseLike<unknown>,
  signal: AbortSignal,
): () => Promise<void> {
  let isSettled = false;
  let cancelled: Promise<unknown> | undefined;
  const settle = () => {
    isSettled = true;
  };
  query.then(settle, settle);
  const cancel = () => (isSettled ? undefined : cancelQuery(query));
  const onAbort = () => {
    cancelled = Promise.resolve(previous)
      .then(cancel)
      .catch(() => {});
  };
  signal.addEventListener('abort', onAbort, { once: true });
  return async () => {
    signal.removeEventListener('abort', onAbort);
    await cancelled;
  };
}

/**
 * Resolves when PostgreSQL has closed the connection on which the driver sends the cancellation, or after 5 s. With a private
 * field of the driver, whose version is fixed: its method `cancel` drops this promise, so that no caller can wait for it, and a
 * connection that fails ends the process by an unhandled rejection.
 */
async function cancelQuery(query: PromiseLike<unknown>): Promise<void> {
  const canceller: unknown = Reflect.get(query, 'canceller');
  if (typeof canceller !== 'function') throw new Error('the driver cannot cancel a query');
  await Promise.race([canceller(query), sleep(CANCEL_MS, undefined, { ref: false })]);
}
