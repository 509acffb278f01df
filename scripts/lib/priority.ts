import { spawnSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';

const LOWEST = 19;

/**
 * Gives a process of its own session only the time that others leave, as if it were on another machine. Linux shares the CPU
 * between sessions first, unless their autogroups have a priority, too. Within one, a thread of the lowest nice value
 * still delays others: by its share, and because a thread that wakes does not always take its place at once.
 */
export function lowerPriority(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/autogroup`, `${LOWEST}`);
  } catch {
    // The kernel has no autogroups.
  }
  const { status } = spawnSync('chrt', ['--all-tasks', '--idle', '--pid', '0', `${pid}`]);
  if (status === 0) return;
  // There is no chrt.
  setPriority(pid, LOWEST);
  for (const thread of readdirSync(`/proc/${pid}/task`)) setPriority(Number(thread), LOWEST);
}
