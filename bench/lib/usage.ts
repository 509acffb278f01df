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

  /** Resident memory in KB, with that of child processes. */
  resident(): number {
    return process.memoryUsage.rss() / 1024 + childrenKb();
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

function childrenKb(): number {
  if (!existsSync(CHILDREN)) return 0;
  const pids = readFileSync(CHILDREN, 'utf8').trim().split(' ');
  return pids.reduce((sum, pid) => sum + residentOf(pid), 0);
}

/** 0 for a process that has ended. */
function residentOf(pid: string): number {
  const file = `/proc/${pid}/status`;
  if (pid === '' || !existsSync(file)) return 0;
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(file, 'utf8'))?.[1] ?? 0);
}
