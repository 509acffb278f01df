import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import net, { type Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Config } from '../../config.ts';
import { joinAddress, splitAddress } from '../../telemetry/address.ts';
import { connectionLimits, UNKNOWN_STREAMS } from '../reset-limit.ts';
import { StreamQueue } from '../stream-queue.ts';
import { TlsServer } from '../tls-server.ts';
import { type Connection, closeAtMaximumAge, Http1Connection } from './connection.ts';
import { ConnectionLimit, rejectConnection } from './connection-limit.ts';
import { Http2Connection, WINDOW_BYTES } from './http2-connection.ts';

export type HttpRequest = http.IncomingMessage | http2.Http2ServerRequest;
export type HttpResponse = http.ServerResponse | http2.Http2ServerResponse;
/** Called for a request that was reset before it was handled. */
export type ResetHandler = (headers: http2.IncomingHttpHeaders, connection: Connection) => void;
export type HttpHandler = (request: HttpRequest, response: HttpResponse, connection: Connection) => void;

// The first bytes of an HTTP/2 client with prior knowledge (RFC 9113, section 3.4).
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

// Longer than the idle time-outs of load balancers, so that they do not reuse a connection that was just closed.
const IDLE_MS = 75_000;
const TCP_KEEPALIVE_MS = 60_000;
const CLOSE_IDLE_EVERY_MS = 20;

// Connections above the limit that are accepted so that their clients receive an error; further ones are reset.
const MAX_REJECTED = 500;
const REJECT_MS = 1_000;

// A session above this fails as a whole. Node's default of 10 MB is reached by 60 slow streams of one proxy, each
// within its own limit.
const SESSION_MEGABYTES = 1_000;

// Headers of a call: a dozen by its client, some more by each proxy. HTTP/1.1 drops further ones, so it reads one more.
const MAX_HEADERS = 100;

/**
 * HTTP/1.1 and HTTP/2 on one port: a plain TCP server passes each connection to the HTTP server concerned by emitting
 * `connection`, which Node documents for this purpose. With TLS, ALPN selects the server, otherwise the first bytes.
 */
export class DualProtocolServer {
  readonly #tcp: net.Server;
  readonly #http1: http.Server;
  readonly #http2: http2.Http2Server;
  readonly #sockets = new Set<Socket>();
  readonly #undetected = new Set<Socket>();
  readonly #connections = new Map<Socket | http2.Http2Session, Connection>();
  readonly #limit: ConnectionLimit;
  readonly #queue = new StreamQueue();
  readonly #config: Config['web'];
  readonly #tls: TlsServer | undefined;

  constructor({ web, call, tls }: Config, log: Logger, handler: HttpHandler, onReset: ResetHandler) {
    this.#config = web;
    this.#limit = new ConnectionLimit(web);
    const handle = (request: HttpRequest, response: HttpResponse) => {
      response.on('error', ignore);
      const connection = this.#connectionOf(request);
      if (connection === undefined) {
        response.destroy();
      } else if (request.rawHeaders.length > 2 * MAX_HEADERS) {
        response.statusCode = 431;
        response.end();
      } else {
        handler(request, response, connection);
      }
    };
    this.#http1 = http.createServer(http1Options(web, call.maxDeadlineMs), handle);
    this.#http1.maxHeadersCount = MAX_HEADERS + 1;
    this.#http2 = http2.createServer(http2Options(web), handle);
    this.#queue.attach(this.#http2, (headers, session) => {
      const connection = session && this.#connections.get(session);
      if (connection !== undefined) onReset(headers, connection);
    });
    if (web.tls !== undefined) {
      const protocols = ['h2', 'http/1.1'];
      const options = { protocols, handshakeTimeoutMs: web.headerTimeoutMs, ...tls, log };
      this.#tls = new TlsServer(web.tls, options, (socket) =>
        socket.alpnProtocol === 'h2' ? this.#serveHttp2(socket) : this.#serveHttp1(socket),
      );
    }
    const options = {
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEPALIVE_MS,
    };
    this.#tcp = net.createServer(options, (socket) => this.#accept(socket));
    if (web.connections > 0) this.#tcp.maxConnections = web.connections + MAX_REJECTED;
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
    this.#tls?.close();
    for (const connection of this.#connections.values())
      if (connection instanceof Http2Connection) connection.close();
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

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    const isAccepted = this.#limit.tryAdd(socket);
    if (this.#tls === undefined) {
      this.#detect(socket, isAccepted);
      return;
    }
    socket.on('error', ignore);
    // A handshake would cost more than the error is worth.
    if (isAccepted) this.#tls.accept(socket);
    else socket.destroy();
  }

  #detect(socket: Socket, isAccepted: boolean): void {
    this.#undetected.add(socket);
    socket.once('close', () => this.#undetected.delete(socket));
    const timeoutMs = isAccepted ? this.#config.headerTimeoutMs : REJECT_MS;
    detectHttp2(socket, timeoutMs, (isHttp2) => {
      this.#undetected.delete(socket);
      if (!isAccepted) rejectConnection(socket, isHttp2);
      else if (isHttp2) this.#serveHttp2(socket);
      else this.#serveHttp1(socket);
    });
  }

  #serveHttp1(socket: Socket): void {
    this.#keep(socket, new Http1Connection(socket, this.#config.connectionAgeGraceMs), socket);
    this.#http1.emit('connection', socket);
    socket.resume();
  }

  #serveHttp2(socket: Socket): void {
    // Otherwise a session with open streams outlives its client.
    socket.allowHalfOpen = false;
    this.#queue.open(socket, () => {
      // Emitted before `emit` returns.
      this.#http2.once('session', (session) =>
        this.#keep(session, new Http2Connection(session, socket, this.#config, this.#queue), socket),
      );
      this.#http2.emit('connection', socket);
    });
  }

  #keep(key: Socket | http2.Http2Session, connection: Connection, socket: Socket): void {
    this.#connections.set(key, connection);
    socket.once('close', () => this.#connections.delete(key));
    closeAtMaximumAge(connection, socket, this.#config);
  }

  /** Undefined when the connection is already destroyed. */
  #connectionOf(request: HttpRequest): Connection | undefined {
    const key = request instanceof http.IncomingMessage ? request.socket : request.stream.session;
    return key === undefined ? undefined : this.#connections.get(key);
  }
}

function http1Options(
  { headerTimeoutMs, maxHeaderBytes }: Config['web'],
  maxDeadlineMs: number,
): http.ServerOptions {
  return {
    maxHeaderSize: maxHeaderBytes,
    headersTimeout: headerTimeoutMs,
    requestTimeout: Math.max(maxDeadlineMs, headerTimeoutMs),
    keepAliveTimeout: IDLE_MS,
    // How often both time-outs are checked.
    connectionsCheckingInterval: Math.ceil(headerTimeoutMs / 4),
    // A body is buffered up to this, and one read of the socket, until its caller is authorized.
    highWaterMark: WINDOW_BYTES.unauthorized,
  };
}

function http2Options({ maxConcurrentStreams, maxHeaderBytes }: Config['web']): http2.ServerOptions {
  return {
    settings: {
      maxConcurrentStreams: Math.min(UNKNOWN_STREAMS, maxConcurrentStreams),
      maxHeaderListSize: maxHeaderBytes,
      initialWindowSize: WINDOW_BYTES.unauthorized,
    },
    maxHeaderListPairs: MAX_HEADERS,
    maxSessionMemory: SESSION_MEGABYTES,
    ...connectionLimits,
  };
}

/** Reads as many bytes as it takes to know the protocol, and puts them back. */
function detectHttp2(socket: Socket, timeoutMs: number, detected: (isHttp2: boolean) => void): void {
  let head = Buffer.alloc(0);
  let isStopped = false;
  const expire = () => isStopped || socket.destroy();
  // After a stall of the process, what has arrived in the meantime is read before.
  const timer = setTimeout(() => setImmediate(expire), timeoutMs);
  const stop = () => {
    isStopped = true;
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
