import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { Config } from '../../config.ts';
import { ResetLimit } from '../reset-limit.ts';
import { destroyAfter } from '../sockets.ts';
import type { Connection } from './connection.ts';

// Longer than the idle time-outs of load balancers, so that they do not reuse a connection that was just closed.
const IDLE_MS = 75_000;

/** How many bytes of a stream are buffered before its connection has had an authorized call, and after that. */
export const WINDOW_BYTES = { unauthorized: 4_096, authorized: 65_535 };

/** An HTTP/2 connection, with the limits that Node does not have. */
export class Http2Connection implements Connection {
  readonly #session: ServerHttp2Session;
  readonly #socket: Socket;
  readonly #config: Config['web'];
  readonly #openTime = performance.now();
  #authorized = false;
  #openStreams = 0;
  #idleTime = this.#openTime;
  #lastStreamId = 0;
  #unendedTime: number | undefined;
  readonly #resets = new ResetLimit();

  constructor(session: ServerHttp2Session, socket: Socket, config: Config['web']) {
    this.#session = session;
    this.#socket = socket;
    this.#config = config;
    session.on('error', () => session.destroy());
    session.on('stream', (stream) => this.#observe(stream));
    const timer = setInterval(() => this.#check(performance.now()), config.headerTimeoutMs / 4);
    session.once('close', () => clearInterval(timer));
  }

  get closed(): boolean {
    return this.#session.closed || this.#session.destroyed;
  }

  authorized(): void {
    if (this.#authorized || this.closed) return;
    this.#authorized = true;
    this.#session.settings({ initialWindowSize: WINDOW_BYTES.authorized });
  }

  /**
   * Above the limit of Node, the streams of all callers behind a proxy end at once. Here, open streams continue, and
   * nghttp2 ignores later ones.
   */
  countReset(): void {
    if (this.#resets.exceeds()) this.close();
  }

  close(): void {
    if (this.closed) return;
    this.#session.close();
    // A session that has closed leaves its socket open until the client has closed it, too.
    destroyAfter(this.#socket, this.#config.connectionAgeGraceMs);
  }

  #observe(stream: ServerHttp2Stream): void {
    this.#openStreams += 1;
    this.#lastStreamId = Math.max(this.#lastStreamId, stream.id ?? 0);
    stream.once('close', () => {
      this.#openStreams -= 1;
      this.#idleTime = performance.now();
    });
  }

  #check(now: number): void {
    const { headerTimeoutMs } = this.#config;
    const isUnauthorized = !this.#authorized && now - this.#openTime >= headerTimeoutMs * 0.75;
    const isIdle = this.#openStreams === 0 && now - this.#idleTime >= IDLE_MS;
    if (isUnauthorized || isIdle || this.#isHeaderLate(now)) this.#session.destroy();
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
