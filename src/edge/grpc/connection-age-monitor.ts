import type { ServerHttp2Stream } from 'node:http2';
import type { CallContext } from '../../rpc/call-context.ts';
import { errors } from '../../rpc/errors.ts';

/**
 * Ends streams on connections that have reached their age. grpc-js tells the client of such a connection to
 * open another, waits the grace time and then cuts it, which a client may take for a cancelled call; a stream
 * ended in between has the usual end, and its client resumes it on its new connection.
 */
export class ConnectionAgeMonitor {
  readonly #streams = new Map<CallContext, ServerHttp2Stream>();
  readonly #timer: NodeJS.Timeout;

  constructor(graceMs: number) {
    const everyMs = Math.max(10, Math.min(1_000, graceMs / 4));
    this.#timer = setInterval(() => this.#sweep(), everyMs).unref();
  }

  watch(call: CallContext, stream: ServerHttp2Stream): void {
    this.#streams.set(call, stream);
  }

  forget(call: CallContext): void {
    this.#streams.delete(call);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #sweep(): void {
    for (const [call, { session }] of this.#streams) {
      if (session?.closed === true) call.end(errors.serverDraining());
    }
  }
}
