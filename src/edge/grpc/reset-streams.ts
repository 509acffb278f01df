import { constants, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { CallContext } from '../../rpc/call-context.ts';
import type { CancelledCalls } from '../../rpc/cancelled-calls.ts';
import { ResetLimit } from '../reset-limit.ts';
import { destroyAfter } from '../sockets.ts';

type Admission = { readonly call: CallContext; readonly done: Promise<unknown> };

/**
 * Counts the streams that clients reset: against their connection, and of an authenticated caller before its call is served
 * against the user. Calls that are being served count against the user when they are cancelled.
 */
export class ResetStreams {
  readonly #cancelledCalls: CancelledCalls;
  readonly #graceMs: number;
  readonly #streams = new WeakMap<ServerHttp2Stream, Admission | 'served'>();

  constructor(cancelledCalls: CancelledCalls, graceMs: number) {
    this.#cancelledCalls = cancelledCalls;
    this.#graceMs = graceMs;
  }

  /** Sets the call that authenticates the caller of a stream. */
  admit(stream: ServerHttp2Stream, call: CallContext, done: Promise<unknown>): void {
    this.#streams.set(stream, { call, done });
  }

  /** The call that was admitted on a stream. */
  admittedOn(stream: ServerHttp2Stream): CallContext | undefined {
    const admission = this.#streams.get(stream);
    return admission === 'served' ? undefined : admission?.call;
  }

  /** To be called when the cancellation of a stream's call is observed elsewhere from now on. */
  serve(stream: ServerHttp2Stream): void {
    // Keeps nothing else, because a stream may be open for hours.
    this.#streams.set(stream, 'served');
  }

  watch(session: ServerHttp2Session, socket: Socket): void {
    const limit = new ResetLimit();
    session.on('stream', (stream) => {
      stream.once('close', () => {
        const isReset = stream.aborted || stream.rstCode !== constants.NGHTTP2_NO_ERROR;
        if (isReset) void this.#count(stream, session, socket, limit);
      });
    });
  }

  async #count(
    stream: ServerHttp2Stream,
    session: ServerHttp2Session,
    socket: Socket,
    limit: ResetLimit,
  ): Promise<void> {
    const admission = this.#streams.get(stream);
    let isCallerKnown = admission === 'served';
    if (admission !== 'served' && admission !== undefined) {
      await admission.done.catch(() => {});
      isCallerKnown = admission.call.isAuthenticated;
      if (isCallerKnown) this.#cancelledCalls.count(admission.call.caller);
    }
    if (limit.exceeds(isCallerKnown) && !session.closed) {
      // Open calls of others continue, and nghttp2 ignores later ones.
      session.close();
      destroyAfter(socket, this.#graceMs);
    }
  }
}
