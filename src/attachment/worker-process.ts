import { type ChildProcess, fork } from 'node:child_process';

/** A program that calls `serveRequests`, with flags of Node and its whole environment. */
type Program = {
  readonly file: URL;
  readonly flags?: readonly string[];
  readonly env: Readonly<Record<string, string>>;
};
type Running<Reply> = {
  readonly child: ChildProcess;
  readonly waiting: Map<number, (reply: Reply | undefined) => void>;
};

/** A process for work that must neither delay nor end this one. It starts with the first request, and again after its end. */
export class WorkerProcess<Request, Reply> {
  readonly #program: Program;
  #running: Running<Reply> | undefined;
  #count = 0;

  constructor(program: Program) {
    this.#program = program;
  }

  /** The reply; undefined if the process has ended, as it does when a reply does not arrive in time. */
  request(request: Request, timeoutMs: number): Promise<Reply | undefined> {
    this.#running ??= this.#start();
    const { child, waiting } = this.#running;
    const { promise, resolve } = Promise.withResolvers<Reply | undefined>();
    const kill = () => child.kill('SIGKILL');
    const timer = setTimeout(kill, timeoutMs);
    const id = ++this.#count;
    waiting.set(id, (reply) => {
      clearTimeout(timer);
      waiting.delete(id);
      resolve(reply);
    });
    child.send({ id, request }, (error) => error !== null && kill());
    return promise;
  }

  close(): void {
    this.#running?.child.kill('SIGKILL');
    this.#running = undefined;
  }

  #start(): Running<Reply> {
    const { file, flags = [], env } = this.#program;
    // Without the rest of the environment, which contains secrets.
    const child = fork(file, [], {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      execArgv: [...flags],
      env,
    });
    const running: Running<Reply> = { child, waiting: new Map() };
    child.on('message', ({ id, reply }: Numbered<Reply>) => running.waiting.get(id)?.(reply));
    child.on('error', () => child.kill('SIGKILL'));
    child.once('exit', () => {
      if (this.#running === running) this.#running = undefined;
      for (const settle of running.waiting.values()) settle(undefined);
    });
    child.unref();
    child.channel?.unref();
    return running;
  }
}

type Numbered<Reply> = { readonly id: number; readonly reply: Reply };

/** To be called by the program of a WorkerProcess. Several requests are handled at a time. */
export function serveRequests<Request, Reply>(handle: (request: Request) => Promise<Reply>): void {
  process.on('message', async ({ id, request }: { id: number; request: Request }) => {
    process.send?.({ id, reply: await handle(request) });
  });
  process.once('disconnect', () => process.exit());
}
