import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { launch, stop } from './processes.ts';

const STOP_MS = 10_000;

/** The commands of a process. Arguments and results are sent as JSON, so ids are decimal strings. */
export type Commands = Readonly<Record<string, (argument: never) => unknown>>;

type Result<C extends Commands, N extends keyof C> = Awaited<ReturnType<C[N]>>;

/** A Node process that runs commands for its parent. */
export class Child<C extends Commands> implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #pending = new Map<string, (response: string | undefined) => void>();
  #lastId = 0;

  private constructor(process: ChildProcess) {
    this.#process = process;
    process.on('message', (message) => {
      const [id = '', ...response] = String(message).split(' ');
      this.#pending.get(id)?.(response.join(' '));
      this.#pending.delete(id);
    });
    process.once('exit', () => {
      for (const settle of this.#pending.values()) settle(undefined);
    });
  }

  /** Starts a script that serves commands; resolves when it reports that it is ready. `options` are for Node. */
  static async start<C extends Commands>(
    script: string,
    env: Readonly<Record<string, string>> = {},
    options: readonly string[] = [],
  ): Promise<Child<C>> {
    const child = launch({
      command: [process.execPath, '--expose-gc', ...options, script],
      orphanSignal: 'SIGKILL',
      env: { ...process.env, ...env },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const ended = once(child, 'exit').then(() => {
      throw new Error(`${script} did not start`);
    });
    ended.catch(() => {});
    await Promise.race([once(child, 'message'), ended]);
    return new Child<C>(child);
  }

  call<N extends keyof C & string>(name: N, ...[argument]: Parameters<C[N]>): Promise<Result<C, N>> {
    this.#lastId += 1;
    const id = `${this.#lastId}`;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, (text) => {
        if (text === undefined) return reject(new Error(`the process ended before it completed ${name}`));
        const response: { result: Result<C, N>; error?: string } = JSON.parse(text);
        if (response.error === undefined) resolve(response.result);
        else reject(new Error(`${name}: ${response.error}`));
      });
      this.#process.send(JSON.stringify({ id, name, argument }));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await stop(this.#process, 'SIGTERM', STOP_MS);
  }
}

/** Runs the commands that the parent sends, and reports that the process is ready. */
export function serveCommands(commands: Commands): void {
  process.on('message', async (message) => {
    const request: { id: string; name: string; argument: never } = JSON.parse(String(message));
    const response = await runCommand(commands, request.name, request.argument);
    process.send?.(`${request.id} ${JSON.stringify(response)}`);
  });
  process.send?.('ready');
}

async function runCommand(commands: Commands, name: string, argument: never): Promise<object> {
  try {
    return { result: await commands[name]?.(argument) };
  } catch (error) {
    return { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}
