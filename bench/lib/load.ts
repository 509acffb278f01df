/** Keeps `inFlight` calls running for `ms`; returns completed calls per second. Rejects with the first failure. */
export async function callsPerSecond(
  inFlight: number,
  ms: number,
  call: (caller: number) => Promise<unknown>,
): Promise<number> {
  const began = performance.now();
  const end = began + ms;
  let completed = 0;
  const callers = Array.from({ length: inFlight }, async (_, caller) => {
    while (performance.now() < end) {
      await call(caller);
      completed += 1;
    }
  });
  await Promise.all(callers);
  return (completed * 1000) / (performance.now() - began);
}

/** Starts calls at an even rate, without waiting for earlier ones, then waits until all have completed. */
export async function atRate(perSecond: number, count: number, start: (index: number) => Promise<unknown>) {
  const began = performance.now();
  const started: Promise<unknown>[] = [];
  for (let index = 0; index < count; index++) {
    const waitMs = began + (index * 1000) / perSecond - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    const running = start(index);
    // Promise.all below reports a failure; until then it must not be an unhandled rejection.
    running.catch(() => {});
    started.push(running);
  }
  await Promise.all(started);
}
