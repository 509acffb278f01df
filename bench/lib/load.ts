import { percentile } from './measure.ts';

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

/** Starts calls at an even rate; returns the 99th percentile of their durations in milliseconds. */
export async function p99AtRate(
  perSecond: number,
  count: number,
  call: (index: number) => Promise<unknown>,
): Promise<number> {
  const times: number[] = [];
  await atRate(perSecond, count, async (index) => {
    const began = performance.now();
    await call(index);
    times.push(performance.now() - began);
  });
  return percentile(times, 0.99);
}
