import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import type { Socket } from 'node:net';
import type { Config } from '../../config.ts';
import { joinAddress, splitAddress } from '../../telemetry/address.ts';

export type HttpRequest = http.IncomingMessage | http2.Http2ServerRequest;
export type HttpResponse = http.ServerResponse | http2.Http2ServerResponse;
export type HttpHandler = (request: HttpRequest, response: HttpResponse) => void;

// What a client that speaks HTTP/2 from the start sends first (RFC 9113, section 3.4).
const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

// Longer than load balancers keep theirs, so that they never use a connection that was just closed.
const idleMs = 75_000;

// Beyond this a connection fails as a whole. Node's 10 are reached by 60 slow readers behind one proxy, each of
// whom stays within what its stream may buffer.
const sessionMegabytes = 1_000;

/** A server of HTTP/1.1 and of HTTP/2 without TLS on the same port. */
export class DualProtocolServer {
  readonly #http1: http.Server;
  readonly #http2: http2.Http2Server;
  readonly #sockets = new Set<Socket>();
  readonly #undecided = new Set<Socket>();
  readonly #sessions = new Set<http2.ServerHttp2Session>();

  constructor({ web, call }: Config, handler: HttpHandler) {
    const requestTimeout = Math.max(call.maxDeadlineMs, web.headerTimeoutMs);
    this.#http1 = http.createServer(
      { headersTimeout: web.headerTimeoutMs, requestTimeout, keepAliveTimeout: idleMs },
      handler,
    );
    this.#http2 = http2.createServer(
      { settings: { maxConcurrentStreams: web.maxConcurrentStreams }, maxSessionMemory: sessionMegabytes },
      handler,
    );
    this.#http2.on('session', (session) => this.#keep(session));
    // The HTTP/1.1 server owns the port, because only a listening one enforces its timeouts. What it would do
    // with a new connection is done once the first bytes tell which protocol it speaks.
    const asHttp1 = this.#http1.listeners('connection');
    this.#http1.removeAllListeners('connection');
    this.#http1.on('connection', (socket) => {
      this.#sockets.add(socket);
      this.#undecided.add(socket);
      socket.once('close', () => {
        this.#sockets.delete(socket);
        this.#undecided.delete(socket);
      });
      socket.setKeepAlive(true, 60_000);
      sniff(socket, web.headerTimeoutMs, (isHttp2) => {
        this.#undecided.delete(socket);
        if (isHttp2) this.#http2.emit('connection', socket);
        else for (const listener of asHttp1) listener.call(this.#http1, socket);
      });
    });
  }

  async listen(address: string): Promise<string> {
    const { host, port } = splitAddress(address);
    this.#http1.listen({ host, port });
    await once(this.#http1, 'listening');
    const bound = this.#http1.address();
    return joinAddress(host, bound !== null && typeof bound === 'object' ? bound.port : port);
  }

  /** Takes no more connections, gives the open ones `graceMs` to finish, and cuts off the rest. */
  async close(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#http1.close(() => resolve()));
    for (const session of this.#sessions) session.close();
    for (const socket of this.#undecided) socket.destroy();
    const timer = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, graceMs);
    // Closing closes what is idle now; what was answering then is idle a moment later.
    const sweep = setInterval(() => this.#http1.closeIdleConnections(), 20);
    await closed;
    clearTimeout(timer);
    clearInterval(sweep);
  }

  #keep(session: http2.ServerHttp2Session): void {
    this.#sessions.add(session);
    session.once('close', () => this.#sessions.delete(session));
    session.on('error', () => session.destroy());
    session.setTimeout(idleMs, () => {
      // Streams that are open and silent stay: closing waits for them.
      session.close();
    });
  }
}

function sniff(socket: Socket, timeoutMs: number, decided: (isHttp2: boolean) => void): void {
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
      const length = Math.min(head.length, preface.length);
      const isHttp2 = head.subarray(0, length).equals(preface.subarray(0, length));
      if (isHttp2 && length < preface.length) continue;
      stop();
      socket.pause();
      socket.unshift(head);
      decided(isHttp2);
      if (!isHttp2) socket.resume();
      return;
    }
  };
  socket.on('readable', read);
  socket.on('error', ignore);
  socket.on('close', stop);
}

function ignore(): void {}
