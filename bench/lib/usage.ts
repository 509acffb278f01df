import { setTimeout as sleep } from 'node:timers/promises';

/** What a process says of what it uses; served by every server measured here. */
export const usage = {
  /** CPU time used so far, user and system, µs. */
  cpu(): number {
    const { user, system } = process.cpuUsage();
    return user + system;
  },

  /** Resident memory in KB after everything unreachable was freed. */
  async memory(): Promise<number> {
    for (let turn = 0; turn < 4; turn++) {
      globalThis.gc?.();
      await sleep(100);
    }
    return process.memoryUsage.rss() / 1024;
  },
};
