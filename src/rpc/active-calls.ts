import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import { CallContext, type IncomingCall } from './call-context.ts';
import { errors } from './errors.ts';
import type { Run } from './interceptor.ts';

// The longest delay of setTimeout.
const maxTimerMs = 2_147_483_647;

/** The calls that one server is serving. */
export class ActiveCalls {
  readonly #running = new Set<CallContext>();
  readonly #config: Config['call'];
  readonly #log: Logger;
  readonly #now: () => number;
  #draining = false;
  #idle: (() => void) | undefined;

  constructor(config: Config['call'], log: Logger, now: () => number) {
    this.#config = config;
    this.#log = log;
    this.#now = now;
  }

  get draining(): boolean {
    return this.#draining;
  }

  get size(): number {
    return this.#running.size;
  }

  /** Registers a call. While draining, it is already ended with SERVER_DRAINING. */
  open(incoming: IncomingCall): CallContext {
    const call = new CallContext(incoming, this.#timeoutMs(incoming), this.#now, this.#log);
    if (this.#draining) call.end(errors.serverDraining());
    return call;
  }

  /** Runs the call through its interceptors; rejects with RpcErrors only. */
  async serve(call: CallContext, run: Run): ReturnType<Run> {
    const { timeoutMs } = call;
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => call.end(errors.deadlineExceeded()), Math.min(Math.max(timeoutMs, 0), maxTimerMs));
    this.#running.add(call);
    try {
      return await run(call);
    } finally {
      clearTimeout(timer);
      this.#running.delete(call);
      if (this.#running.size === 0) this.#idle?.();
    }
  }

  /** Rejects new calls and drains streams; ends calls that still run after `drainTimeoutMs`. */
  async drain(): Promise<void> {
    this.#draining = true;
    for (const call of this.#running) {
      if (call.method.methodKind !== 'unary') call.drain();
    }
    await this.#untilIdle(this.#config.drainTimeoutMs);
    for (const call of this.#running) call.end(errors.serverDraining());
  }

  async #untilIdle(timeoutMs: number): Promise<void> {
    if (this.#running.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#idle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  // A stream without a deadline is unlimited; a unary call always has a deadline.
  #timeoutMs({ method, timeoutMs }: IncomingCall): number | undefined {
    if (method.methodKind !== 'unary') return timeoutMs;
    return Math.min(timeoutMs ?? this.#config.defaultDeadlineMs, this.#config.maxDeadlineMs);
  }
}
