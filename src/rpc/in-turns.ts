import { setImmediate as nextTurn } from 'node:timers/promises';

// Calls of others wait at most so long, and as long again for what the work has written to be flushed.
const TURN_MS = 1;

/**
 * Calls `work` for each item again and again, in as many turns of the event loop as it takes, so that calls are served in
 * between. A round that takes longer than the interval delays the next one. Items may be added and removed meanwhile.
 */
export function everyInTurns<T>(
  intervalMs: number,
  items: () => Iterable<T>,
  work: (item: T) => void,
): NodeJS.Timeout {
  let isRunning = false;
  const run = async () => {
    if (isRunning) return;
    isRunning = true;
    await inTurns(items(), work);
    isRunning = false;
  };
  return setInterval(() => void run(), intervalMs);
}

async function inTurns<T>(items: Iterable<T>, work: (item: T) => void): Promise<void> {
  let end = performance.now() + TURN_MS;
  for (const item of items) {
    work(item);
    if (performance.now() < end) continue;
    await nextTurn();
    end = performance.now() + TURN_MS;
  }
}
