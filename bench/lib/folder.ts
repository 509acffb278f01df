import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DEV_FOLDER } from '../../scripts/lib/dev-state.ts';

const PREFIX = 'bench-';

/** A folder for this process on the project's disk. Removes the folders of processes that ended without doing so. */
export function benchFolder(): { path: string; remove(): void } {
  mkdirSync(DEV_FOLDER, { recursive: true });
  for (const name of readdirSync(DEV_FOLDER)) {
    if (name.startsWith(PREFIX) && !isAlive(Number(name.slice(PREFIX.length))))
      remove(join(DEV_FOLDER, name));
  }
  const path = join(DEV_FOLDER, `${PREFIX}${process.pid}`);
  mkdirSync(path);
  return { path, remove: () => remove(path) };
}

function remove(path: string): void {
  rmSync(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
