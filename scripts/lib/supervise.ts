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
  /** Rejects when the server ended and does not come up again. */
  readonly failed: Promise<never>;
  stop(): Promise<void>;
}

/** Starts a server again when it ends without being asked to, as an orchestrator would. */
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
      report(`${name} has ended and is started again`);
      server = await startAgain(start);
    }
  };
  const failed = watch();
  // Whoever waits for `failed` learns of it; until then it is not an unhandled rejection.
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

// What a killed server held (its port, its shared memory) is free only when its last child has gone.
async function startAgain(start: () => Promise<Server>): Promise<Server> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start();
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
      await sleep(PAUSE_MS);
    }
  }
}
