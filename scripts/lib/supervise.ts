import { setTimeout as sleep } from 'node:timers/promises';

const ATTEMPTS = 10;
const PAUSE_MS = 1_000;

export interface Server {
  readonly url: string;
  readonly ended: Promise<string>;
  stop(): Promise<void>;
}

export interface Supervised {
  readonly url: string;
  /** Rejects when the server ended and cannot be restarted. */
  readonly failed: Promise<never>;
  stop(): Promise<void>;
}

/** Restarts a server that ended without `stop`, as an orchestrator would. */
export async function supervise(
  name: string,
  start: () => Promise<Server>,
  report: (line: string) => void,
): Promise<Supervised> {
  let server = await start();
  let stopping = false;
  const watch = async (): Promise<never> => {
    for (;;) {
      await server.ended;
      if (stopping) return new Promise<never>(() => {});
      report(`${name} has ended and is restarted`);
      server = await restart(start);
    }
  };
  const failed = watch();
  // Callers may await `failed` later; until then it is not an unhandled rejection.
  failed.catch(() => {});
  return {
    url: server.url,
    failed,
    async stop() {
      stopping = true;
      await server.stop();
    },
  };
}

// The port and shared memory of a killed server are released when its last child process has ended.
async function restart(start: () => Promise<Server>): Promise<Server> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start();
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
      await sleep(PAUSE_MS);
    }
  }
}
