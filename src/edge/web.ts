import { ServerResponse } from 'node:http';
import type { Writable } from 'node:stream';
import {
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
} from '@bufbuild/protobuf';
import {
  Code,
  ConnectError,
  type ConnectRouter,
  createConnectRouter,
  createContextKey,
  createContextValues,
  type HandlerContext,
} from '@connectrpc/connect';
import {
  compressionBrotli,
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from '@connectrpc/connect-node';
import { Calls } from './calls.ts';
import { answerCors } from './cors.ts';
import { Refusal, refuse } from './errors.ts';
import type { Frame } from './frame.ts';
import { type HttpHandler, type HttpResponse, OnePort } from './one-port.ts';
import type { Arrival, RunningCall } from './running-call.ts';
import { StreamSink } from './sink.ts';
import type { Edge, EdgeParts, Run } from './surroundings.ts';

/** The HTTP response of a call, for what Connect's own context does not do. */
type Exchange = { readonly response: HttpResponse; onReceived(): void; onGone: () => void };

const exchangeKey = createContextKey<Exchange | undefined>(undefined);

// How long connections have, once all calls are over, to take the last bytes.
const closingMs = 1_000;

/** Opens the web edge: Connect, gRPC-Web and gRPC, over HTTP/1.1 and HTTP/2 on one port. */
export async function openWebEdge({ api, config, log, now }: EdgeParts): Promise<Edge> {
  const calls = new Calls(config.call, log, now);
  const { maxMessageBytes } = config.call;
  const router = createConnectRouter({
    acceptCompression: [compressionGzip, compressionBrotli],
    readMaxBytes: maxMessageBytes,
    requestGate(context) {
      const length = Number(context.requestHeader.get('content-length') ?? 0);
      // A streaming protocol puts five bytes before the message.
      if (length > maxMessageBytes + 5) throw toConnectError(refuse.requestTooLarge(maxMessageBytes));
    },
  });
  for (const { method, run } of api.rpcs) {
    if (isUnary(method)) addUnary(router, method, run, calls);
    else if (isServerStreaming(method)) addStream(router, method, run, calls);
    else throw new Error(`${method.toString()}: streams from clients are not served`);
  }
  const port = new OnePort(
    config,
    httpHandler(router, calls, new Set(config.web.origins), config.call.maxDeadlineMs),
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

function addUnary(router: ConnectRouter, method: DescMethodUnary, run: Run, calls: Calls): void {
  router.rpc(method, async (request, context) => {
    const call = calls.open({ ...arrivalOf(context), method, request: () => request, sink: undefined });
    follow(call, context);
    try {
      return (await calls.serve(call, run)) ?? {};
    } catch (error) {
      throw toConnectError(error);
    }
  });
}

/**
 * Connect sees a handler that yields the first frame's message, for which it sends the headers, and then is
 * silent until the stream ends, for which it sends the trailers. All frames between go past it.
 */
function addStream(router: ConnectRouter, method: DescMethodServerStreaming, run: Run, calls: Calls): void {
  router.rpc(method, async function* (request, context) {
    const exchange = exchangeOf(context);
    const first = Promise.withResolvers<Frame | undefined>();
    const sink = new StreamSink(codecOf(context), first.resolve);
    const call = calls.open({ ...arrivalOf(context), method, request: () => request, sink });
    follow(call, context);
    const served = calls.serve(call, run).finally(() => {
      sink.end();
      first.resolve(undefined);
    });
    try {
      const frame = await Promise.race([first.promise, served.then(() => undefined)]);
      if (frame !== undefined) {
        yield fromBinary(method.output, frame.binary);
        sink.attach(outputOf(exchange.response));
      }
      await served;
    } catch (error) {
      throw toConnectError(error);
    }
  });
}

function httpHandler(
  router: ConnectRouter,
  calls: Calls,
  origins: ReadonlySet<string>,
  bodyMs: number,
): HttpHandler {
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  return async (request, response) => {
    response.on('error', () => {});
    if (calls.draining && response instanceof ServerResponse) response.setHeader('connection', 'close');
    if (answerCors(origins, request, response)) return;
    const handler = handlers.get(request.url?.split('?', 1)[0] ?? '');
    if (handler === undefined) {
      response.statusCode = 404;
      response.end();
      return;
    }
    // Streams are not compressed: what is written once for all of them could only be compressed for each.
    if (handler.method.methodKind !== 'unary') {
      delete request.headers['connect-accept-encoding'];
      delete request.headers['grpc-accept-encoding'];
    }
    const exchange = openExchange(response, bodyMs);
    try {
      const values = createContextValues().set(exchangeKey, exchange);
      const answer = await handler(universalRequestFromNodeRequest(request, response, undefined, values));
      await universalResponseToNodeResponse(answer, response);
    } catch {
      // The client has gone, or sent what is no HTTP: there is nobody to tell.
      response.destroy();
    }
  };
}

function openExchange(response: HttpResponse, bodyMs: number): Exchange {
  const timer = setTimeout(() => response.destroy(), bodyMs);
  const exchange: Exchange = { response, onReceived: () => clearTimeout(timer), onGone: () => {} };
  response.once('close', () => {
    clearTimeout(timer);
    exchange.onGone();
  });
  return exchange;
}

function follow(call: RunningCall, context: HandlerContext): void {
  const exchange = exchangeOf(context);
  exchange.onReceived();
  exchange.onGone = () => call.leave();
  context.responseHeader.set('x-request-id', call.requestId);
}

function arrivalOf(context: HandlerContext): Pick<Arrival, 'edge' | 'header' | 'timeoutMs'> {
  return {
    edge: 'web',
    header: (name) => context.requestHeader.get(name) ?? undefined,
    timeoutMs: context.timeoutMs(),
  };
}

function exchangeOf(context: HandlerContext): Exchange {
  const exchange = context.values.get(exchangeKey);
  if (exchange === undefined) throw new Error('the call did not come through this server');
  return exchange;
}

function codecOf(context: HandlerContext): 'binary' | 'json' {
  return context.requestHeader.get('content-type')?.includes('json') ? 'json' : 'binary';
}

// Below an HTTP/2 response lies its stream, which costs less to write to.
function outputOf(response: HttpResponse): Writable {
  return response instanceof ServerResponse ? response : response.stream;
}

function toConnectError(error: unknown): ConnectError {
  if (!(error instanceof Refusal))
    return new ConnectError('internal error', Code.Internal, undefined, [], error);
  const code: number = error.code;
  return new ConnectError(error.message, code, undefined, [...error.details]);
}

function isUnary(method: DescMethod): method is DescMethodUnary {
  return method.methodKind === 'unary';
}

function isServerStreaming(method: DescMethod): method is DescMethodServerStreaming {
  return method.methodKind === 'server_streaming';
}
