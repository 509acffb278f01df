import {
  constants,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import type { Caller } from '../../rpc/call.ts';
import type { CallContext, IncomingCall } from '../../rpc/call-context.ts';
import type { CancelledCalls } from '../../rpc/cancelled-calls.ts';
import { firstOf } from '../headers.ts';
import { ResetLimit } from '../reset-limit.ts';
import { destroyAfter } from '../sockets.ts';
import type { RequestConnection } from './request-body.ts';

/** Verifies the token in the headers of a stream. */
type Identify = (header: IncomingCall['header']) => Promise<Caller | undefined>;

type Admission = { readonly call: CallContext; readonly done: Promise<unknown>; isRejected: boolean };
/**
 * `afterRead` calls back when the connection has been read again. `closing` is called when it accepts no more calls because
 * it is above a limit, `judged` when one of its calls is admitted, or is rejected or reset before.
 */
type Listeners = {
  readonly afterRead: (callback: () => void) => void;
  readonly closing: () => void;
  readonly judged: (isAdmitted: boolean) => void;
};
type Limit = Omit<Listeners, 'closing'> & { readonly counts: ResetLimit; readonly close: () => void };
type State = { readonly headers: IncomingHttpHeaders } | Admission | 'served';

/**
 * Counts the streams that clients reset: against their connection, and of an authenticated caller before its call is served
 * against the user. Calls that are being served count against the user when they are cancelled.
 */
export class ResetStreams implements RequestConnection {
  readonly #cancelledCalls: CancelledCalls;
  readonly #graceMs: number;
  readonly #identify: Identify;
  readonly #streams = new WeakMap<ServerHttp2Stream, State>();
  readonly #limits = new WeakMap<Http2Session, Limit>();

  constructor(cancelledCalls: CancelledCalls, graceMs: number, identify: Identify) {
    this.#cancelledCalls = cancelledCalls;
    this.#graceMs = graceMs;
    this.#identify = identify;
  }

  /** Sets the call that authenticates the caller of a stream. */
  admit(stream: ServerHttp2Stream, call: CallContext, done: Promise<unknown>): void {
    const admission = { call, done, isRejected: false };
    this.#streams.set(stream, admission);
    const limit = stream.session && this.#limits.get(stream.session);
    done.then(
      () => {
        limit?.counts.exceedsByCall(true);
        limit?.judged(true);
      },
      () => {
        admission.isRejected = !stream.closed;
        limit?.judged(false);
      },
    );
  }

  afterRead({ session }: ServerHttp2Stream, callback: () => void): void {
    if (session !== undefined) this.#limits.get(session)?.afterRead(callback);
  }

  unended(stream: ServerHttp2Stream): void {
    const state = this.#streams.get(stream);
    const isRejected = typeof state === 'object' && 'call' in state && state.isRejected;
    const limit = stream.session && this.#limits.get(stream.session);
    if (isRejected && limit?.counts.exceedsByCall(false) === true) limit.close();
  }

  /** The call that was admitted on a stream. */
  admittedOn(stream: ServerHttp2Stream): CallContext | undefined {
    const state = this.#streams.get(stream);
    return typeof state === 'object' && 'call' in state ? state.call : undefined;
  }

  /** To be called when the cancellation of a stream's call is observed elsewhere from now on. */
  serve(stream: ServerHttp2Stream): void {
    // Keeps nothing else, because a stream may be open for hours.
    this.#streams.set(stream, 'served');
  }

  watch(session: ServerHttp2Session, socket: Socket, { afterRead, closing, judged }: Listeners): void {
    const close = () => {
      if (session.closed) return;
      closing();
      // Open calls of others continue, and nghttp2 ignores later ones.
      session.close();
      destroyAfter(socket, this.#graceMs);
    };
    const limit = { counts: new ResetLimit(), afterRead, close, judged };
    this.#limits.set(session, limit);
    session.on('stream', (stream, headers) => {
      this.#streams.set(stream, { headers });
      stream.once('close', async () => {
        const state = this.#streams.get(stream);
        // A scavenge takes the values of a WeakMap for strong references.
        this.#streams.delete(stream);
        const isReset = stream.aborted || stream.rstCode !== constants.NGHTTP2_NO_ERROR;
        if (isReset && limit.counts.exceeds(await this.#count(state, judged))) close();
      });
    });
  }

  /**
   * Counts against the user, unless the call is observed elsewhere, or was rejected before: many clients reset a request
   * whose status arrives before they have ended it. Returns whether the caller is known.
   */
  async #count(state: State | undefined, judged: Listeners['judged']): Promise<boolean> {
    if (state === undefined || state === 'served') return true;
    judged(false);
    const caller =
      'call' in state
        ? await admittedCaller(state)
        : await this.#identify((name) => firstOf(state.headers[name]));
    const isRejected = 'call' in state && state.isRejected;
    if (caller !== undefined && !isRejected) this.#cancelledCalls.count(caller);
    return caller !== undefined;
  }
}

async function admittedCaller({ call, done }: Admission): Promise<Caller | undefined> {
  await done.catch(() => {});
  return call.isAuthenticated ? call.caller : undefined;
}
