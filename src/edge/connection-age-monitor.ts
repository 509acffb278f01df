import type { CallContext } from '../rpc/call-context.ts';

/** Whether a connection accepts no more calls. */
export type ConnectionState = { readonly closed: boolean };

/**
 * Ends streams on connections that have reached their maximum age. Such a connection accepts no more calls and is
 * destroyed after the grace time, which some clients report as a cancelled call. A stream that ends in between has the
 * usual status, and its client resumes it on a new connection.
 */
export class ConnectionAgeMonitor {
  readonly #streams = new Map<CallContext, ConnectionState>();
  readonly #timer: NodeJS.Timeout;

  constructor(graceMs: number) {
    const everyMs = Math.max(10, Math.min(1_000, graceMs / 4));
    this.#timer = setInterval(() => this.#endStreams(), everyMs).unref();
  }

  watch(call: CallContext, connection: ConnectionState): void {
    this.#streams.set(call, connection);
  }

  unwatch(call: CallContext): void {
    this.#streams.delete(call);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #endStreams(): void {
    for (const [call, { closed }] of this.#streams) if (closed) call.drain();
  }
}
