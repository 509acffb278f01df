import { constants, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { Config } from '../../config.ts';
import { ResetLimit } from '../reset-limit.ts';
import { destroyAfter } from '../sockets.ts';
import type { StreamQueue } from '../stream-queue.ts';
import type { Connection } from './connection.ts';

// Longer than the idle time-outs of load balancers, so that they do not reuse a connection that was just closed.
const IDLE_MS = 75_000;

// In GOAWAY: all calls that the client has sent are served.
const MAX_STREAM_ID = 2_147_483_647;

/** How many bytes of a stream are buffered before its connection has had an authorized call, and after that. */
export const WINDOW_BYTES = { unauthorized: 4_096, authorized: 65_535 };

/** An HTTP/2 connection, with the limits that Node does not have. */
export class Http2Connection implements Connection {
  readonly #session: ServerHttp2Session;
  readonly #socket: Socket;
  readonly #config: Config['web'];
  readonly #queue: StreamQueue;
  readonly #openTime = performance.now();
  #authorized = false;
  #isClosing = false;
  /** Whether it was open for the time limit of an authorized call. */
  #isDue = false;
  #openStreams = 0;
  #admissions = 0;
  #idleTime = this.#openTime;
  #lastStreamId = 0;
  #unendedTime: number | undefined;
  readonly #resets = new ResetLimit();

  constructor(session: ServerHttp2Session, socket: Socket, config: Config['web'], queue: StreamQueue) {
    this.#session = session;
    this.#socket = socket;
    this.#config = config;
    this.#queue = queue;
    queue.watch(session, socket);
    session.on('error', () => session.destroy());
    session.on('stream', (stream) => this.#observe(stream));
    // After a stall of the process, what has arrived in the meantime is read before the check.
    const check = () => setImmediate(() => this.#check(performance.now()));
    const timer = setInterval(check, config.headerTimeoutMs / 8);
    session.once('close', () => clearInterval(timer));
  }

  get closed(): boolean {
    return this.#isClosing || this.#session.closed || this.#session.destroyed;
  }

  async admit(admitting: Promise<boolean>): Promise<void> {
    this.#admissions += 1;
    const isAdmitted = await admitting;
    this.#admissions -= 1;
    this.#queue.trust(this.#session, isAdmitted);
    if (this.#authorized || !isAdmitted) return;
    this.#authorized = true;
    const { maxConcurrentStreams } = this.#config;
    if (!this.closed)
      this.#session.settings({ initialWindowSize: WINDOW_BYTES.authorized, maxConcurrentStreams });
  }

  /**
   * Above the limit of Node, the streams of all callers behind a proxy end at once. Here, open streams continue, and
   * nghttp2 ignores later ones.
   */
  countReset(isCallerKnown: boolean): void {
    this.#queue.trust(this.#session, false);
    if (!this.#resets.exceeds(isCallerKnown) || this.closed) return;
    this.#queue.reject(this.#session);
    this.close();
    this.#session.close();
  }

  /**
   * While calls are open in two steps (RFC 9113, section 6.8): others that the client sends before it learns of the end are
   * served. One step would refuse them, and not every client repeats them. Without an open call, nghttp2 reads nothing
   * after the first step.
   */
  close(): void {
    if (this.closed) return;
    this.#isClosing = true;
    if (this.#openStreams > 0) {
      this.#session.goaway(constants.NGHTTP2_NO_ERROR, MAX_STREAM_ID);
      // The response arrives after what the client has sent before.
      this.#session.ping(() => this.#session.close());
    } else {
      this.#session.close();
    }
    // A session that has closed leaves its socket open until the client has closed it, too.
    destroyAfter(this.#socket, this.#config.connectionAgeGraceMs);
  }

  #observe(stream: ServerHttp2Stream): void {
    this.#openStreams += 1;
    this.#lastStreamId = Math.max(this.#lastStreamId, stream.id ?? 0);
    stream.once('close', () => {
      this.#openStreams -= 1;
      this.#idleTime = performance.now();
      if (this.#isClosing && this.#openStreams === 0) this.#session.close();
    });
    // Now rather than between two calls, so that the client learns of it before it sends the next one.
    if (this.#isDue && !this.#authorized) this.close();
  }

  #check(now: number): void {
    const { headerTimeoutMs } = this.#config;
    const isIdle = this.#openStreams === 0 && now - this.#idleTime >= IDLE_MS;
    const isUnauthorized = !this.#authorized && now - this.#openTime >= headerTimeoutMs * 0.7;
    const isOver = isUnauthorized && this.#isClosing && this.#admissions === 0;
    if (isOver || this.#isHeaderLate(now)) this.#session.destroy();
    else if (isIdle || (isUnauthorized && this.#isDue)) this.close();
    else if (isUnauthorized) this.#isDue = true;
  }

  /**
   * Node does not report headers before they end. nghttp2 knows the stream from their first frame on. Streams that are
   * rejected for their headers have no event either, so a ping tells the two apart: between the frames of a header
   * block the client may send no other frame, also not the response to a ping.
   */
  #isHeaderLate(now: number): boolean {
    const { lastProcStreamID: begunId = 0 } = this.#session.state;
    if (begunId <= this.#lastStreamId) {
      this.#unendedTime = undefined;
      return false;
    }
    if (this.#unendedTime === undefined) {
      this.#unendedTime = now;
      this.#session.ping((error) => {
        if (error === null) this.#lastStreamId = Math.max(this.#lastStreamId, begunId);
      });
    }
    return now - this.#unendedTime >= this.#config.headerTimeoutMs / 2;
  }
}
