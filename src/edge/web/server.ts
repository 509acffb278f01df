import { ServerResponse } from 'node:http';
import type { DescMethod, DescMethodUnary, Message } from '@bufbuild/protobuf';
import {
  type ConnectRouter,
  type ConnectRouterOptions,
  createConnectRouter,
  createContextKey,
  createContextValues,
  type HandlerContext,
} from '@connectrpc/connect';
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from '@connectrpc/connect-node';
import type { Config } from '../../config.ts';
import { ActiveCalls } from '../../rpc/active-calls.ts';
import type { Api, Edge, EdgeParts } from '../../rpc/api.ts';
import { errors } from '../../rpc/errors.ts';
import type { Rpc, Run } from '../../rpc/interceptor.ts';
import { maxRequestBytes } from '../../rpc/request-size.ts';
import { detailTypes } from '../../rpc/status.ts';
import { guard } from '../../telemetry/guard.ts';
import { ConnectionAgeMonitor } from '../connection-age-monitor.ts';
import { admit } from './admission.ts';
import { compressions, maxBodyBytes, readBody } from './body.ts';
import { toConnectError } from './connect-error.ts';
import { handleCors } from './cors.ts';
import { DualProtocolServer, type HttpHandler } from './dual-protocol-server.ts';
import { Exchange } from './exchange.ts';
import { serveStream } from './stream.ts';

/** Serves one request; settles when the response has ended. */
type Serve = (exchange: Exchange) => Promise<void>;

type MethodOptions = Pick<ConnectRouterOptions, 'acceptCompression' | 'requestGate'>;

const exchangeKey = createContextKey<Exchange | undefined>(undefined);

// Time for connections to flush after all calls have ended.
const closingMs = 1_000;

/** Opens the web edge: Connect, gRPC-Web and gRPC, over HTTP/1.1 and HTTP/2 on one port. */
export async function openWebEdge({ api, config, log, metrics, now }: EdgeParts): Promise<Edge> {
  const calls = new ActiveCalls(config.call, log, now);
  const monitor = new ConnectionAgeMonitor(config.web.connectionAgeGraceMs);
  const serving = new Map([
    ...unaryMethods(api.rpcs, calls, config.call.maxMessageBytes),
    ...streamMethods(api.rpcs, calls, monitor, config.call.maxMessageBytes, () =>
      metrics.framesSkipped.inc(),
    ),
  ]);
  const server = new DualProtocolServer(
    config,
    guard('web', { log, metrics }, httpHandler(serving, calls, api, config), (_error, _request, response) =>
      response.destroy(),
    ),
  );
  const close = (graceMs: number) => {
    monitor.close();
    return server.close(graceMs);
  };
  return {
    address: await server.listen(config.web.address),
    async drain() {
      await calls.drain();
      await close(closingMs);
    },
    close: () => close(0),
  };
}

/** Unary methods, served by Connect's handlers in all protocols. */
function unaryMethods(rpcs: readonly Rpc[], calls: ActiveCalls, maxBytes: number): [path: string, Serve][] {
  const router = createConnectRouter({ jsonOptions: { registry: detailTypes } });
  for (const rpc of rpcs) {
    const { method, run } = rpc;
    if (!isUnary(method)) continue;
    addUnary(router, method, run, calls, methodOptions(rpc, calls, maxRequestBytes(method, maxBytes)));
  }
  return router.handlers.map((handler) => [
    handler.requestPath,
    async (exchange) => {
      const { request, response } = exchange;
      const values = createContextValues().set(exchangeKey, exchange);
      const received = universalRequestFromNodeRequest(request, response, undefined, values);
      const body = readBody(request, maxRequestBytes(handler.method, maxBytes));
      const result = await handler({ ...received, body });
      const counted = result.body && { body: countUnread(result.body, exchange) };
      await universalResponseToNodeResponse({ ...result, ...counted }, response);
    },
  ]);
}

async function* countUnread(body: AsyncIterable<Uint8Array>, exchange: Exchange): AsyncGenerator<Uint8Array> {
  for await (const bytes of body) {
    // The first bytes are the message; in gRPC and gRPC-Web the status follows.
    exchange.completed(bytes.length);
    yield bytes;
  }
}

/** What Connect does before it reads a body, and with a compressed one. */
function methodOptions(rpc: Rpc, calls: ActiveCalls, maxBytes: number): MethodOptions {
  return {
    acceptCompression: compressions(maxBytes),
    async requestGate(context) {
      const { requestId, rejection } = await admit(rpc, calls, exchangeOf(context));
      context.responseHeader.set('x-request-id', requestId);
      if (rejection !== undefined) throw rejection;
      const { requestHeader } = context;
      const length = Number(requestHeader.get('content-length') ?? 0);
      if (length > maxBodyBytes(requestHeader.get('content-type') ?? '', maxBytes))
        throw toConnectError(errors.requestTooLarge(maxBytes), exchangeOf(context).header);
    },
  };
}

function exchangeOf({ values }: HandlerContext): Exchange {
  const exchange = values.get(exchangeKey);
  if (exchange === undefined) throw new Error('the call was not received by this server');
  return exchange;
}

function addUnary(
  router: ConnectRouter,
  method: DescMethodUnary,
  run: Run,
  calls: ActiveCalls,
  options: MethodOptions,
): void {
  const serve = async (request: Message, context: HandlerContext) => {
    const exchange = exchangeOf(context);
    const timeoutMs = context.timeoutMs();
    const call = calls.open({
      edge: 'web',
      method,
      header: exchange.header,
      request: () => request,
      timeoutMs,
      sink: undefined,
    });
    exchange.begin(call);
    context.responseHeader.set('x-request-id', call.requestId);
    try {
      return (await calls.serve(call, run)) ?? {};
    } catch (error) {
      throw toConnectError(error, exchange.header);
    }
  };
  router.rpc(method, serve, options);
}

function streamMethods(
  rpcs: readonly Rpc[],
  calls: ActiveCalls,
  monitor: ConnectionAgeMonitor,
  maxBytes: number,
  skipped: () => void,
): [path: string, Serve][] {
  return rpcs
    .filter(({ method }) => method.methodKind === 'server_streaming')
    .map((rpc) => [
      `/${rpc.method.parent.typeName}/${rpc.method.name}`,
      serveStream(rpc, calls, monitor, maxRequestBytes(rpc.method, maxBytes), skipped),
    ]);
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
      response.statusCode = 404;
      response.end();
      return;
    }
    // A failure here is one of the connection: the client has disconnected or violated HTTP.
    serve(exchange).catch(() => response.destroy());
  };
}

function isUnary(method: DescMethod): method is DescMethodUnary {
  return method.methodKind === 'unary';
}
