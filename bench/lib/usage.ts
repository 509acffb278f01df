import { setTimeout as sleep } from 'node:timers/promises';

const GC_TURNS = 3;
const GC_PAUSE_MS = 200;

/** What a process says of what it uses; served by every server measured here. */
export const usage = {
  /** CPU time used so far, user and system, µs. */
  cpu(): number {
    const { user, system } = process.cpuUsage();
    return user + system;
  },

  /**
   * Resident memory in KB after everything unreachable was freed. A collection of last resort also gives back
   * the room for young objects, which grows with the rate of calls (to 130 MB) and not with what is held.
   */
  async memory(): Promise<number> {
    for (let turn = 0; turn < GC_TURNS; turn++) {
      globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
      await sleep(GC_PAUSE_MS);
    }
    return process.memoryUsage.rss() / 1024;
  },
};
