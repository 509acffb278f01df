import { once } from 'node:events';
import net, { type Socket } from 'node:net';
import { type Server, ServerCredentials } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import type { Config } from '../../config.ts';
import { joinAddress, splitAddress } from '../../telemetry/address.ts';
import { connectionLimits } from '../reset-limit.ts';
import { StreamQueue } from '../stream-queue.ts';
import { TlsServer } from '../tls-server.ts';
import { http2ServerOf, setHttp2Options } from './http2-stream.ts';
import type { ResetStreams } from './reset-streams.ts';
import { boundTimeouts } from './timeout.ts';

// Time for a TLS handshake.
const HANDSHAKE_MS = 10_000;

/**
 * Accepts the connections of a grpc-js server. The server's own listener cannot end a connection that its client keeps
 * open: after a graceful close, destroying the HTTP/2 session only half-closes the socket.
 */
export class Listener {
  readonly #server: Server;
  readonly #tcp: net.Server;
  readonly #tls: TlsServer | undefined;
  readonly #sockets = new Set<Socket>();

  constructor(server: Server, resets: ResetStreams, { grpc, tls }: Config, log: Logger) {
    this.#server = server;
    setHttp2Options(server, connectionLimits);
    const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    const http2Server = http2ServerOf(server);
    const { maxConcurrentStreams } = grpc;
    const queue = new StreamQueue();
    queue.attach(http2Server);
    boundTimeouts(http2Server);
    const open = (socket: Socket) => {
      // Emitted before `injectConnection` returns.
      http2Server.once('session', (session) => {
        queue.watch(session, socket);
        let isKnown = false;
        resets.watch(session, socket, {
          afterRead: (callback) => queue.afterRead(session, callback),
          closing: () => queue.reject(session),
          judged: (isAdmitted) => {
            queue.trust(session, isAdmitted);
            if (!isAdmitted || isKnown || session.closed || session.destroyed) return;
            isKnown = true;
            session.settings({ maxConcurrentStreams });
          },
        });
      });
      injector.injectConnection(socket);
    };
    const serve = (socket: Socket) => queue.open(socket, () => open(socket));
    if (grpc.tls !== undefined) {
      const options = { protocols: ['h2'], handshakeTimeoutMs: HANDSHAKE_MS, ...tls, log };
      this.#tls = new TlsServer(grpc.tls, options, (socket) =>
        socket.alpnProtocol === 'h2' ? serve(socket) : socket.destroy(),
      );
    }
    this.#tcp = net.createServer({ noDelay: true }, (socket) => {
      this.#sockets.add(socket);
      // The session handles its errors; a socket can also fail before or after it.
      socket.on('error', () => {});
      socket.once('close', () => this.#sockets.delete(socket));
      if (this.#tls === undefined) serve(socket);
      else this.#tls.accept(socket);
    });
    this.#tcp.maxConnections = grpc.connections;
  }

  async listen(address: string): Promise<string> {
    const { host, port } = splitAddress(address);
    this.#tcp.listen({ host, port });
    await once(this.#tcp, 'listening');
    const bound = this.#tcp.address();
    return joinAddress(host, bound !== null && typeof bound === 'object' ? bound.port : port);
  }

  /** Accepts no more connections, and destroys those that are still open after `graceMs`. */
  async close(graceMs: number): Promise<void> {
    this.#tls?.close();
    const closed = new Promise<void>((resolve) => this.#tcp.close(() => resolve()));
    const timer = setTimeout(() => this.#destroySockets(), graceMs);
    await new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    await closed;
    clearTimeout(timer);
  }

  /** Ends everything at once. */
  destroy(): void {
    this.#tls?.close();
    this.#tcp.close();
    this.#server.forceShutdown();
    this.#destroySockets();
  }

  #destroySockets(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
