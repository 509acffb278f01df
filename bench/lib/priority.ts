import { readdirSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';

const LOWEST = 19;

/**
 * Gives a process of its own session the lowest priority, as if it were on another machine. Linux has a priority for each
 * thread, and shares the CPU between sessions first, unless their autogroups have a priority, too.
 */
export function lowerPriority(pid: number): void {
  setPriority(pid, LOWEST);
  for (const thread of readdirSync(`/proc/${pid}/task`)) setPriority(Number(thread), LOWEST);
  try {
    writeFileSync(`/proc/${pid}/autogroup`, `${LOWEST}`);
  } catch {
    // The kernel has no autogroups.
  }
}
