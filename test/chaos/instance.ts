import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { freePort, hasEnded, launch, stop, waitUntil } from '../../scripts/lib/processes.ts';

const START_MS = 20_000;
const DRAIN_TIMEOUT_MS = 15_000;
const COLLECT_MS = 5_000;

type Ports = { readonly grpc: number; readonly web: number; readonly metrics: number };

/** A warning or an error of the log. */
export type LogLine = { readonly level: string; readonly msg: string; readonly err?: { message?: string } };

/** Memory in use after a garbage collection, resident memory, and its maximum so far; in bytes. */
export type Memory = { readonly live: number; readonly resident: number; readonly peak: number };

/** One instance of the service: `src/main.ts` in its own process, at addresses that stay the same over restarts. */
export class Instance {
  readonly name: string;
  readonly grpcAddress: string;
  readonly webUrl: string;
  /** Warnings and worse since the last `takeLog`. */
  #log: LogLine[] = [];
  readonly #metricsUrl: string;
  readonly #env: Readonly<Record<string, string>>;
  #process: ChildProcess | undefined;

  private constructor(name: string, ports: Ports, env: Readonly<Record<string, string>>) {
    this.name = name;
    this.grpcAddress = `127.0.0.1:${ports.grpc}`;
    this.webUrl = `http://127.0.0.1:${ports.web}`;
    this.#metricsUrl = `http://127.0.0.1:${ports.metrics}`;
    this.#env = {
      ...env,
      INSTANCE_ID: name,
      GRPC_ADDR: this.grpcAddress,
      WEB_ADDR: `127.0.0.1:${ports.web}`,
      METRICS_ADDR: `127.0.0.1:${ports.metrics}`,
    };
  }

  static async start(name: string, env: Readonly<Record<string, string>>): Promise<Instance> {
    const ports = { grpc: await freePort(), web: await freePort(), metrics: await freePort() };
    const instance = new Instance(name, ports, env);
    await instance.start();
    return instance;
  }

  /** Resolves when the instance is healthy. */
  async start(): Promise<void> {
    this.launch();
    await this.ready();
  }

  /** Starts the process and does not wait for it. */
  launch(): void {
    const child = launch({
      command: [process.execPath, '--expose-gc', '--import=./test/chaos/collect-garbage.ts', 'src/main.ts'],
      orphanSignal: 'SIGKILL',
      env: { ...process.env, ...this.#env },
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
    this.#process = child;
    if (child.stdout === null) throw new Error('no output');
    let rest = '';
    // Not readline, which also ends lines at U+2028, as texts of clients can contain it.
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.#read(line);
    });
  }

  async ready(): Promise<void> {
    await waitUntil(`${this.name} is healthy`, START_MS, async () => {
      if (hasEnded(this.#running())) throw new Error(`${this.name} did not start: ${this.#lastLine()}`);
      return (await this.isHealthy()) ? true : undefined;
    });
  }

  async isHealthy(): Promise<boolean> {
    const response = await fetch(`${this.#metricsUrl}/readyz`, { signal: AbortSignal.timeout(1_000) }).catch(
      () => undefined,
    );
    await response?.body?.cancel();
    return response?.status === 200;
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#running().kill(signal);
  }

  /** Ends the process as a crash would, and waits until it has ended. */
  kill(): Promise<void> {
    return stop(this.#running(), 'SIGKILL', DRAIN_TIMEOUT_MS);
  }

  /** Sends SIGTERM and waits for the end; returns an error message when the exit code is not 0. */
  async drain(): Promise<string | undefined> {
    const process = this.#running();
    await stop(process, 'SIGTERM', DRAIN_TIMEOUT_MS);
    if (process.exitCode === 0) return undefined;
    return `${this.name} did not end after SIGTERM: ${process.signalCode ?? process.exitCode} ${this.#lastLine()}`;
  }

  async close(): Promise<void> {
    const process = this.#process;
    if (process === undefined) return;
    process.kill('SIGCONT');
    await stop(process, 'SIGTERM', DRAIN_TIMEOUT_MS);
  }

  takeLog(): LogLine[] {
    const log = this.#log;
    this.#log = [];
    return log;
  }

  /** Samples of /metrics without labels, and sums over the labels of those with. */
  async metrics(): Promise<Map<string, number>> {
    const response = await fetch(`${this.#metricsUrl}/metrics`, { signal: AbortSignal.timeout(COLLECT_MS) });
    const values = new Map<string, number>();
    for (const line of (await response.text()).split('\n')) {
      const [, name, value] = /^(\w+)(?:\{.*\})? (\S+)/.exec(line) ?? [];
      if (name !== undefined) values.set(name, (values.get(name) ?? 0) + Number(value));
    }
    return values;
  }

  async memory(): Promise<Memory> {
    const process = this.#running();
    const response = once(process, 'message', { signal: AbortSignal.timeout(COLLECT_MS) });
    process.send('collect');
    const [usage]: (NodeJS.MemoryUsage & { peak: number })[] = await response;
    if (usage === undefined) throw new Error(`${this.name} did not report its memory`);
    return { live: usage.heapUsed + usage.external, resident: usage.rss, peak: usage.peak };
  }

  #running(): ChildProcess {
    if (this.#process === undefined) throw new Error(`${this.name} was never started`);
    return this.#process;
  }

  #read(line: string): void {
    const { level, msg, err }: LogLine = JSON.parse(line);
    if (level !== 'info') this.#log.push({ level, msg, ...(err !== undefined && { err }) });
  }

  #lastLine(): string {
    const last = this.#log.at(-1);
    return last === undefined ? 'it logged nothing' : `${last.msg} ${last.err?.message ?? ''}`;
  }
}
