/** A call that waits for a connection or for its turn. */
export type Waiter<T> = {
  readonly start: (value: T) => void;
  readonly reject: (reason: unknown) => void;
};

/** Waits until the waiter, which `add` puts into a queue, is started or rejected. `remove` is called when it gives up. */
export function wait<T>(
  signal: AbortSignal,
  add: (waiter: Waiter<T>) => void,
  remove: (waiter: Waiter<T>) => void,
): Promise<T> {
  if (signal.aborted) return Promise.reject(signal.reason);
  return new Promise((resolve, reject) => {
    const onAbort = () => waiter.reject(signal.reason);
    const waiter: Waiter<T> = {
      start(value) {
        signal.removeEventListener('abort', onAbort);
        resolve(value);
      },
      reject(reason) {
        signal.removeEventListener('abort', onAbort);
        remove(waiter);
        reject(reason);
      },
    };
    signal.addEventListener('abort', onAbort, { once: true });
    add(waiter);
  });
}
