import { ServerResponse } from 'node:http';
import type { Config } from '../../config.ts';
import { ActiveCalls } from '../../rpc/active-calls.ts';
import type { Api, Edge, EdgeParts } from '../../rpc/api.ts';
import { methodPath } from '../../rpc/call-context.ts';
import type { Rpc } from '../../rpc/interceptor.ts';
import { callerOf } from '../../rpc/interceptors/authenticate.ts';
import { maxRequestBytes } from '../../rpc/request-size.ts';
import { guard } from '../../telemetry/guard.ts';
import { ConnectionAgeMonitor } from '../connection-age-monitor.ts';
import { firstOf } from '../headers.ts';
import { handleCors } from './cors.ts';
import { DualProtocolServer, type HttpHandler } from './dual-protocol-server.ts';
import { sendEmpty } from './empty-response.ts';
import { Exchange } from './exchange.ts';
import { serveStream } from './stream.ts';
import { serveUnary } from './unary.ts';

/** Serves one request; settles when the response has ended. */
type Serve = (exchange: Exchange) => Promise<void>;

// Time for connections to flush after all calls have ended.
const closingMs = 1_000;

/** Opens the web edge: Connect, gRPC-Web and gRPC, over HTTP/1.1 and HTTP/2 on one port. */
export async function openWebEdge(parts: EdgeParts): Promise<Edge> {
  const { api, config, log, metrics, now } = parts;
  const calls = new ActiveCalls(config.call, log, now);
  const monitor = new ConnectionAgeMonitor(config.web.connectionAgeGraceMs);
  const serving = new Map<string, Serve>();
  for (const rpc of api.rpcs) {
    const serve = toServe(rpc, calls, monitor, parts);
    if (serve !== undefined) serving.set(`/${methodPath(rpc.method)}`, serve);
  }
  const server = new DualProtocolServer(
    config,
    log,
    guard('web', { log, metrics }, httpHandler(serving, calls, api, config), (_error, _request, response) =>
      response.destroy(),
    ),
    (headers, connection) => {
      const header = (name: string) => firstOf(headers[name]);
      callerOf(header, api.verifyToken).then(
        (caller) => {
          connection.countReset(true);
          api.cancelledCalls.count(caller);
        },
        () => connection.countReset(false),
      );
    },
  );
  const close = (graceMs: number) => {
    monitor.close();
    return server.close(graceMs);
  };
  return {
    address: await server.listen(config.web.address),
    // Its health is /readyz of the metrics server.
    announceDrain() {},
    async drain() {
      await calls.drain();
      await close(closingMs);
    },
    close: () => close(0),
  };
}

/** Unary methods and server streams; bidirectional streams are served by the mesh edge only. */
function toServe(
  rpc: Rpc,
  calls: ActiveCalls,
  monitor: ConnectionAgeMonitor,
  { config, metrics }: EdgeParts,
): Serve | undefined {
  const maxBytes = maxRequestBytes(rpc.method, config.call.maxMessageBytes);
  switch (rpc.method.methodKind) {
    case 'unary':
      return serveUnary(rpc, calls, maxBytes);
    case 'server_streaming':
      return serveStream(rpc, calls, monitor, maxBytes, () => metrics.framesSkipped.inc());
    default:
      return undefined;
  }
}

function httpHandler(
  serving: ReadonlyMap<string, Serve>,
  calls: ActiveCalls,
  api: Api,
  { web, call }: Config,
): HttpHandler {
  const origins = new Set(web.origins);
  return (request, response, connection) => {
    const exchange = new Exchange(request, response, {
      connection,
      cancelledCalls: api.cancelledCalls,
      bodyMs: call.maxDeadlineMs,
      pending: api.pending,
    });
    const isClosing = calls.draining || connection.closed;
    if (isClosing && response instanceof ServerResponse) response.setHeader('connection', 'close');
    if (handleCors(origins, request, response)) return;
    const serve = serving.get(request.url?.split('?', 1)[0] ?? '');
    if (serve === undefined) {
      sendEmpty(response, 404);
      return;
    }
    // A failure here is one of the connection: the client has disconnected or violated HTTP.
    serve(exchange).catch(() => response.destroy());
  };
}
