import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const GC_TURNS = 3;
const GC_PAUSE_MS = 200;

/** Commands of every measured server that report its resource usage. */
export const usage = {
  /** CPU time used so far, user and system, µs. */
  cpu(): number {
    const { user, system } = process.cpuUsage();
    return user + system;
  },

  /** Resident memory in KB, with that of child processes. The file that all of them execute is in memory once. */
  resident(): number {
    if (!existsSync(CHILDREN)) return process.memoryUsage.rss() / 1024;
    const all = ['self', ...children()].map(memoryOf);
    return all.reduce((sum, { own }) => sum + own, 0) + Math.max(...all.map(({ mapped }) => mapped));
  },

  /**
   * Resident memory in KB after a full garbage collection. Only a collection of last resort also shrinks the young
   * generation, which grows with the rate of calls (to 130 MB) and not with the objects in use.
   */
  async memory(): Promise<number> {
    for (let turn = 0; turn < GC_TURNS; turn++) {
      globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
      await sleep(GC_PAUSE_MS);
    }
    return usage.resident();
  },
};

const CHILDREN = `/proc/self/task/${process.pid}/children`;

function children(): string[] {
  return readFileSync(CHILDREN, 'utf8').split(' ').filter(Boolean);
}

/** Resident KB that are the process's own, and those of mapped files; 0 for a process that has ended. */
function memoryOf(pid: string): { own: number; mapped: number } {
  const file = `/proc/${pid}/status`;
  const status = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const kb = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0);
  return { own: kb('RssAnon') + kb('RssShmem'), mapped: kb('RssFile') };
}
