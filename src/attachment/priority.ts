import { readdirSync } from 'node:fs';
import { setPriority } from 'node:os';

const THREADS = '/proc/self/task';

/**
 * Lowers the priority of this process. Linux has one for each thread, which new threads inherit: that of the process's id
 * is the main thread's only, and images are decoded in others.
 */
export function lowerPriority(priority: number): void {
  setPriority(priority);
  if (process.platform !== 'linux') return;
  for (const thread of readdirSync(THREADS)) {
    try {
      setPriority(Number(thread), priority);
    } catch {
      // The thread has ended.
    }
  }
}
