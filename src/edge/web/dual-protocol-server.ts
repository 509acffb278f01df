import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import net, { type Socket } from 'node:net';
import type { Config } from '../../config.ts';
import { joinAddress, splitAddress } from '../../telemetry/address.ts';
import type { ConnectionState } from '../connection-age-monitor.ts';

export type HttpRequest = http.IncomingMessage | http2.Http2ServerRequest;
export type HttpResponse = http.ServerResponse | http2.Http2ServerResponse;
export type HttpHandler = (request: HttpRequest, response: HttpResponse) => void;

// The first bytes of an HTTP/2 client with prior knowledge (RFC 9113, section 3.4).
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

// Longer than the idle time-outs of load balancers, so that they do not reuse a connection that was just closed.
const IDLE_MS = 75_000;
const TCP_KEEPALIVE_MS = 60_000;
// Node's default for how often it checks connections for time-outs.
const MAX_CHECK_MS = 30_000;
const CLOSE_IDLE_EVERY_MS = 20;

// A session above this fails as a whole. Node's default of 10 MB is reached by 60 slow streams of one proxy, each
// within its own limit.
const SESSION_MEGABYTES = 1_000;

// HTTP/1.1 has no state of its own for a connection that is going to be closed.
const http1States = new WeakMap<Socket, { closed: boolean }>();

/**
 * HTTP/1.1 and HTTP/2 without TLS on one port: a plain TCP server reads the first bytes of each connection and passes
 * it to the HTTP server concerned by emitting `connection`, which Node documents for this purpose.
 */
export class DualProtocolServer {
  readonly #tcp: net.Server;
  readonly #http1: http.Server;
  readonly #http2: http2.Http2Server;
  readonly #sockets = new Set<Socket>();
  readonly #undetected = new Set<Socket>();
  readonly #sessions = new Set<http2.ServerHttp2Session>();
  readonly #config: Config['web'];

  constructor({ web, call }: Config, handler: HttpHandler) {
    this.#config = web;
    const requestTimeout = Math.max(call.maxDeadlineMs, web.headerTimeoutMs);
    this.#http1 = http.createServer(
      {
        headersTimeout: web.headerTimeoutMs,
        requestTimeout,
        keepAliveTimeout: IDLE_MS,
        connectionsCheckingInterval: Math.min(web.headerTimeoutMs, MAX_CHECK_MS),
      },
      handler,
    );
    this.#http2 = http2.createServer(
      { settings: { maxConcurrentStreams: web.maxConcurrentStreams }, maxSessionMemory: SESSION_MEGABYTES },
      handler,
    );
    this.#http2.on('session', (session) => this.#keep(session));
    const options = {
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEPALIVE_MS,
    };
    this.#tcp = net.createServer(options, (socket) => this.#accept(socket, web.headerTimeoutMs));
  }

  async listen(address: string): Promise<string> {
    const { host, port } = splitAddress(address);
    this.#tcp.listen({ host, port });
    await once(this.#tcp, 'listening');
    // An http.Server enforces its header and request time-outs only after this event.
    this.#http1.emit('listening');
    const bound = this.#tcp.address();
    return joinAddress(host, bound !== null && typeof bound === 'object' ? bound.port : port);
  }

  /** Accepts no more connections, and destroys those that are still open after `graceMs`. */
  async close(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#tcp.close(() => resolve()));
    for (const session of this.#sessions) session.close();
    for (const socket of this.#undetected) socket.destroy();
    const timer = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, graceMs);
    // Repeated, because connections become idle when their last response has been sent.
    this.#http1.closeIdleConnections();
    const idle = setInterval(() => this.#http1.closeIdleConnections(), CLOSE_IDLE_EVERY_MS);
    await closed;
    clearTimeout(timer);
    clearInterval(idle);
    this.#http1.close();
  }

  #accept(socket: Socket, timeoutMs: number): void {
    this.#sockets.add(socket);
    this.#undetected.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#undetected.delete(socket);
    });
    detectHttp2(socket, timeoutMs, (isHttp2) => {
      this.#undetected.delete(socket);
      if (isHttp2) {
        this.#http2.emit('connection', socket);
        return;
      }
      const state = { closed: false };
      http1States.set(socket, state);
      this.#limitAge(socket, () => {
        state.closed = true;
      });
      this.#http1.emit('connection', socket);
      socket.resume();
    });
  }

  #limitAge(connection: Socket | http2.ServerHttp2Session, close: () => void): void {
    const { connectionAgeMs, connectionAgeGraceMs } = this.#config;
    if (connectionAgeMs === 0) return;
    // Spread, so that clients that connected together do not reconnect together.
    let timer = setTimeout(
      () => {
        close();
        timer = setTimeout(() => connection.destroy(), connectionAgeGraceMs);
      },
      connectionAgeMs * (0.9 + 0.2 * Math.random()),
    );
    connection.once('close', () => clearTimeout(timer));
  }

  #keep(session: http2.ServerHttp2Session): void {
    this.#sessions.add(session);
    session.once('close', () => this.#sessions.delete(session));
    session.on('error', () => session.destroy());
    this.#limitAge(session, () => session.close());
    session.setTimeout(IDLE_MS, () => {
      // Open streams without traffic stay: close() waits for them.
      session.close();
    });
  }
}

/** The state of the connection that a request was received on. */
export function connectionOf(request: HttpRequest): ConnectionState {
  const state =
    request instanceof http.IncomingMessage ? http1States.get(request.socket) : request.stream.session;
  // A request on a connection that is already destroyed.
  return state ?? { closed: true };
}

/** Reads as many bytes as it takes to know the protocol, and puts them back. */
function detectHttp2(socket: Socket, timeoutMs: number, detected: (isHttp2: boolean) => void): void {
  let head = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), timeoutMs);
  const stop = () => {
    clearTimeout(timer);
    socket.off('readable', read);
    socket.off('error', ignore);
    socket.off('close', stop);
  };
  const read = () => {
    for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) {
      head = Buffer.concat([head, chunk]);
      const length = Math.min(head.length, PREFACE.length);
      const isHttp2 = head.subarray(0, length).equals(PREFACE.subarray(0, length));
      if (isHttp2 && length < PREFACE.length) continue;
      stop();
      socket.pause();
      socket.unshift(head);
      detected(isHttp2);
      return;
    }
  };
  socket.on('readable', read);
  socket.on('error', ignore);
  socket.on('close', stop);
}

function ignore(): void {}
