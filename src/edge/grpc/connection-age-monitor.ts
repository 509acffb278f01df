import type { ServerHttp2Stream } from 'node:http2';
import type { CallContext } from '../../rpc/call-context.ts';
import { errors } from '../../rpc/errors.ts';

/**
 * Ends streams on connections that have reached their maximum age. grpc-js sends GOAWAY on such a connection and
 * destroys it after the grace time, which some clients report as a cancelled call. A stream that ends in between has
 * the usual status, and its client resumes it on a new connection.
 */
export class ConnectionAgeMonitor {
  readonly #streams = new Map<CallContext, ServerHttp2Stream>();
  readonly #timer: NodeJS.Timeout;

  constructor(graceMs: number) {
    const everyMs = Math.max(10, Math.min(1_000, graceMs / 4));
    this.#timer = setInterval(() => this.#endStreams(), everyMs).unref();
  }

  watch(call: CallContext, stream: ServerHttp2Stream): void {
    this.#streams.set(call, stream);
  }

  unwatch(call: CallContext): void {
    this.#streams.delete(call);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #endStreams(): void {
    for (const [call, { session }] of this.#streams) {
      if (session?.closed === true) call.end(errors.serverDraining());
    }
  }
}
