import { ServerResponse } from 'node:http';
import type { DescMethod, DescMethodUnary } from '@bufbuild/protobuf';
import {
  type ConnectRouter,
  createConnectRouter,
  createContextKey,
  createContextValues,
} from '@connectrpc/connect';
import {
  compressionBrotli,
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from '@connectrpc/connect-node';
import { Calls } from './calls.ts';
import { toConnectError } from './connect-error.ts';
import { answerCors } from './cors.ts';
import { refuse } from './errors.ts';
import { Exchange } from './exchange.ts';
import { type HttpHandler, OnePort } from './one-port.ts';
import type { Edge, EdgeParts, Rpc, Run } from './surroundings.ts';
import { serveStream } from './web-stream.ts';

/** Serves one method; the promise settles when there is nothing more to do. */
type Serve = (exchange: Exchange) => Promise<void>;

const exchangeKey = createContextKey<Exchange | undefined>(undefined);

// How long connections have, once all calls are over, to take the last bytes.
const closingMs = 1_000;

/** Opens the web edge: Connect, gRPC-Web and gRPC, over HTTP/1.1 and HTTP/2 on one port. */
export async function openWebEdge({ api, config, log, now }: EdgeParts): Promise<Edge> {
  const calls = new Calls(config.call, log, now);
  const serving = new Map([
    ...unaryMethods(api.rpcs, calls, config.call.maxMessageBytes),
    ...streamMethods(api.rpcs, calls, config.call.maxMessageBytes),
  ]);
  const port = new OnePort(
    config,
    httpHandler(serving, calls, new Set(config.web.origins), config.call.maxDeadlineMs),
  );
  return {
    address: await port.listen(config.web.address),
    async drain() {
      await calls.drain();
      await port.close(closingMs);
    },
    close: () => port.close(0),
  };
}

/** Unary methods, each served by Connect in all protocols. */
function unaryMethods(rpcs: readonly Rpc[], calls: Calls, maxBytes: number): [path: string, Serve][] {
  const router = createConnectRouter({
    acceptCompression: [compressionGzip, compressionBrotli],
    readMaxBytes: maxBytes,
    requestGate(context) {
      const length = Number(context.requestHeader.get('content-length') ?? 0);
      // gRPC puts five bytes before the message.
      if (length > maxBytes + 5) throw toConnectError(refuse.requestTooLarge(maxBytes));
    },
  });
  for (const { method, run } of rpcs) if (isUnary(method)) addUnary(router, method, run, calls);
  return router.handlers.map((handler) => [
    handler.requestPath,
    async (exchange) => {
      const { request, response } = exchange;
      const values = createContextValues().set(exchangeKey, exchange);
      const answer = await handler(universalRequestFromNodeRequest(request, response, undefined, values));
      await universalResponseToNodeResponse(answer, response);
    },
  ]);
}

function addUnary(router: ConnectRouter, method: DescMethodUnary, run: Run, calls: Calls): void {
  router.rpc(method, async (request, context) => {
    const exchange = context.values.get(exchangeKey);
    if (exchange === undefined) throw new Error('the call did not come through this server');
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
      throw toConnectError(error);
    }
  });
}

function streamMethods(rpcs: readonly Rpc[], calls: Calls, maxBytes: number): [path: string, Serve][] {
  return rpcs
    .filter(({ method }) => !isUnary(method))
    .map((rpc) => [`/${rpc.method.parent.typeName}/${rpc.method.name}`, serveStream(rpc, calls, maxBytes)]);
}

function httpHandler(
  serving: ReadonlyMap<string, Serve>,
  calls: Calls,
  origins: ReadonlySet<string>,
  bodyMs: number,
): HttpHandler {
  return (request, response) => {
    response.on('error', () => {});
    if (calls.draining && response instanceof ServerResponse) response.setHeader('connection', 'close');
    if (answerCors(origins, request, response)) return;
    const serve = serving.get(request.url?.split('?', 1)[0] ?? '');
    if (serve === undefined) {
      response.statusCode = 404;
      response.end();
      return;
    }
    // What fails here is the connection: its client has gone, or speaks no HTTP.
    serve(new Exchange(request, response, bodyMs)).catch(() => response.destroy());
  };
}

function isUnary(method: DescMethod): method is DescMethodUnary {
  return method.methodKind === 'unary';
}
