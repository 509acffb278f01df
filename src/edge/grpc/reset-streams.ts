import { constants, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { Caller } from '../../rpc/call.ts';
import type { CancelledCalls } from '../../rpc/cancelled-calls.ts';
import { ResetLimit } from '../reset-limit.ts';
import { destroyAfter } from '../sockets.ts';

/**
 * Counts the streams that clients reset before their calls are served: of an authenticated caller against the user, others
 * against their connection. Calls that are being served count when they are cancelled.
 */
export class ResetStreams {
  readonly #cancelledCalls: CancelledCalls;
  readonly #graceMs: number;
  readonly #callers = new WeakMap<ServerHttp2Stream, Promise<Caller | undefined>>();
  readonly #served = new WeakSet<ServerHttp2Stream>();

  constructor(cancelledCalls: CancelledCalls, graceMs: number) {
    this.#cancelledCalls = cancelledCalls;
    this.#graceMs = graceMs;
  }

  /** Sets the caller of a stream, who is undefined when not authenticated. */
  identify(stream: ServerHttp2Stream, caller: Promise<Caller | undefined>): void {
    this.#callers.set(stream, caller);
  }

  /** To be called when the cancellation of a stream's call is observed elsewhere from now on. */
  serve(stream: ServerHttp2Stream): void {
    this.#served.add(stream);
  }

  watch(session: ServerHttp2Session, socket: Socket): void {
    const limit = new ResetLimit();
    session.on('stream', (stream) => {
      stream.once('close', () => {
        const isReset = stream.aborted || stream.rstCode !== constants.NGHTTP2_NO_ERROR;
        if (isReset && !this.#served.has(stream)) void this.#count(stream, session, socket, limit);
      });
    });
  }

  async #count(
    stream: ServerHttp2Stream,
    session: ServerHttp2Session,
    socket: Socket,
    limit: ResetLimit,
  ): Promise<void> {
    const caller = await this.#callers.get(stream);
    if (caller !== undefined) this.#cancelledCalls.count(caller);
    else if (limit.exceeds() && !session.closed) {
      // Open calls of others continue, and nghttp2 ignores later ones.
      session.close();
      destroyAfter(socket, this.#graceMs);
    }
  }
}
