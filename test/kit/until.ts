const FIRST_MS = 5;
const MAX_MS = 50;
// A wait takes this part longer than its condition, and a long one does not keep a processor busy with its queries.
const PART = 0.1;

/** Waits for a condition, looking every few milliseconds at first, and then less often; fails after the deadline. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what = 'the condition',
  deadlineMs = 45_000,
): Promise<void> {
  const began = performance.now();
  while (!(await condition())) {
    const elapsed = performance.now() - began;
    if (elapsed > deadlineMs) throw new Error(`${what} was not met within ${deadlineMs} ms`);
    const pause = Math.min(Math.max(elapsed * PART, FIRST_MS), MAX_MS);
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
