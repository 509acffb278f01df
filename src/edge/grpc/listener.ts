import { once } from 'node:events';
import net, { type Socket } from 'node:net';
import { type Server, ServerCredentials } from '@grpc/grpc-js';
import { joinAddress, splitAddress } from '../../telemetry/address.ts';
import { nghttp2ResetLimits } from '../reset-limit.ts';
import { http2ServerOf, setHttp2Options } from './http2-stream.ts';
import type { ResetStreams } from './reset-streams.ts';
import { boundTimeouts } from './timeout.ts';

/**
 * Accepts the connections of a grpc-js server. The server's own listener cannot end a connection that its client keeps
 * open: after a graceful close, destroying the HTTP/2 session only half-closes the socket.
 */
export class Listener {
  readonly #server: Server;
  readonly #tcp: net.Server;
  readonly #sockets = new Set<Socket>();

  constructor(server: Server, resets: ResetStreams, maxConnections: number) {
    this.#server = server;
    setHttp2Options(server, nghttp2ResetLimits);
    const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    const http2Server = http2ServerOf(server);
    boundTimeouts(http2Server);
    this.#tcp = net.createServer({ noDelay: true }, (socket) => {
      this.#sockets.add(socket);
      // The session handles its errors; a socket can also fail before or after it.
      socket.on('error', () => {});
      socket.once('close', () => this.#sockets.delete(socket));
      // Emitted before `injectConnection` returns.
      http2Server.once('session', (session) => resets.watch(session, socket));
      injector.injectConnection(socket);
    });
    this.#tcp.maxConnections = maxConnections;
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
    const closed = new Promise<void>((resolve) => this.#tcp.close(() => resolve()));
    const timer = setTimeout(() => this.#destroySockets(), graceMs);
    await new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    await closed;
    clearTimeout(timer);
  }

  /** Ends everything at once. */
  destroy(): void {
    this.#tcp.close();
    this.#server.forceShutdown();
    this.#destroySockets();
  }

  #destroySockets(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
