/** Settles like `work`, and rejects with a RedisTimeoutError when that takes longer than `ms`. */
export async function withTimeout<T>(work: Promise<T>, ms: number): Promise<T> {
  const late = Promise.withResolvers<never>();
  // After a pause of this process the reply may be in the socket already. It is read before the second callback.
  const giveUp = () => setImmediate(() => late.reject(new RedisTimeoutError(ms)));
  const timer = setTimeout(giveUp, ms);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

export class RedisTimeoutError extends Error {
  override name = 'RedisTimeoutError';

  constructor(ms: number) {
    super(`Redis did not reply within ${ms} ms`);
  }
}
