/** Keeps `inFlight` calls running for a while; how many ended in a second. The first one that fails ends it. */
export async function callsPerSecond(
  inFlight: number,
  ms: number,
  call: (caller: number) => Promise<unknown>,
): Promise<number> {
  const began = performance.now();
  const end = began + ms;
  let ended = 0;
  const callers = Array.from({ length: inFlight }, async (_, caller) => {
    while (performance.now() < end) {
      await call(caller);
      ended += 1;
    }
  });
  await Promise.all(callers);
  return (ended * 1000) / (performance.now() - began);
}

/** Starts something at an even rate, whether or not what was started before has ended, and waits for all of it. */
export async function atRate(perSecond: number, count: number, start: (index: number) => Promise<unknown>) {
  const began = performance.now();
  const started: Promise<unknown>[] = [];
  for (let index = 0; index < count; index++) {
    const waitMs = began + (index * 1000) / perSecond - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    const running = start(index);
    // Seen below; until then a failure is not an unhandled one.
    running.catch(() => {});
    started.push(running);
  }
  await Promise.all(started);
}
