import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { launch, stop } from '../../scripts/lib/processes.ts';

const STOP_MS = 10_000;

/** What a process does when asked. Arguments and answers travel as JSON, so ids are decimal strings. */
export type Commands = Readonly<Record<string, (argument: never) => unknown>>;

type Response<C extends Commands, N extends keyof C> = Awaited<ReturnType<C[N]>>;

/** A Node process of our own that is asked things. */
export class Child<C extends Commands> implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #asked = new Map<string, (reply: string | undefined) => void>();
  #lastId = 0;

  private constructor(process: ChildProcess) {
    this.#process = process;
    process.on('message', (message) => {
      const [id = '', ...reply] = String(message).split(' ');
      this.#asked.get(id)?.(reply.join(' '));
      this.#asked.delete(id);
    });
    process.once('exit', () => {
      for (const settle of this.#asked.values()) settle(undefined);
    });
  }

  /** Starts a script of `bench/`; resolves when it says that it is ready. `options` are Node's own. */
  static async start<C extends Commands>(
    script: string,
    env: Readonly<Record<string, string>> = {},
    options: readonly string[] = [],
  ): Promise<Child<C>> {
    const child = launch({
      command: [process.execPath, '--expose-gc', ...options, `bench/${script}`],
      orphanSignal: 'SIGKILL',
      env: { ...process.env, ...env },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const ended = once(child, 'exit').then(() => {
      throw new Error(`bench/${script} did not start`);
    });
    ended.catch(() => {});
    await Promise.race([once(child, 'message'), ended]);
    return new Child<C>(child);
  }

  ask<N extends keyof C & string>(name: N, ...[argument]: Parameters<C[N]>): Promise<Response<C, N>> {
    this.#lastId += 1;
    const id = `${this.#lastId}`;
    return new Promise((resolve, reject) => {
      this.#asked.set(id, (text) => {
        if (text === undefined) return reject(new Error(`the process has ended, asked for ${name}`));
        const reply: { answer: Response<C, N>; error?: string } = JSON.parse(text);
        if (reply.error === undefined) resolve(reply.answer);
        else reject(new Error(`${name}: ${reply.error}`));
      });
      this.#process.send(JSON.stringify({ id, name, argument }));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await stop(this.#process, 'SIGTERM', STOP_MS);
  }
}

/** The other side: answers what the parent asks, and says that it is ready. */
export function serveCommands(commands: Commands): void {
  process.on('message', async (message) => {
    const request: { id: string; name: string; argument: never } = JSON.parse(String(message));
    const reply = await answer(commands, request.name, request.argument);
    process.send?.(`${request.id} ${JSON.stringify(reply)}`);
  });
  process.send?.('ready');
}

async function answer(commands: Commands, name: string, argument: never): Promise<object> {
  try {
    return { answer: await commands[name]?.(argument) };
  } catch (error) {
    return { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}
