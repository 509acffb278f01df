import { create, type DescMethod, toJsonString } from '@bufbuild/protobuf';
import { ConnectError } from '@connectrpc/connect';
import type { ActiveCalls } from '../../rpc/active-calls.ts';
import { EncodedResponse, encodeResponse } from '../../rpc/encoded-response.ts';
import type { Response, Rpc } from '../../rpc/interceptor.ts';
import { detailTypes } from '../../rpc/status.ts';
import { admit } from './admission.ts';
import { compress } from './compression.ts';
import { toConnectError } from './connect-error.ts';
import { sendEmpty } from './empty-response.ts';
import type { Exchange } from './exchange.ts';
import { type Codec, readRequest } from './request.ts';
import { unaryProtocolOf } from './unary-protocols.ts';

/**
 * Serves a unary call in its client's protocol without Connect's own handler, which copies headers between three forms
 * and passes bodies through asynchronous generators. CPU time per SendMessage, as a multiple of the mesh edge's: 0.88
 * over HTTP/1.1 and 0.84 over HTTP/2; with Connect's handler 1.61 and 1.68.
 */
export function serveUnary(rpc: Rpc, calls: ActiveCalls, maxBytes: number) {
  const { method, run } = rpc;
  return async (exchange: Exchange): Promise<void> => {
    const { response } = exchange;
    const protocol = unaryProtocolOf(exchange, method);
    if (typeof protocol === 'number') {
      sendEmpty(response, protocol);
      return;
    }
    const { admitted, rejection } = await admit(rpc, calls, exchange);
    const received = rejection ?? (await readRequest(protocol, exchange, method, maxBytes));
    if (exchange.closed) return;
    if (received instanceof ConnectError) {
      protocol.send(exchange, admitted.requestId, received);
      exchange.completed();
      return;
    }
    const { request, timeoutMs, encoding } = received;
    const { header } = exchange;
    const call = calls.open({ edge: 'web', method, header, request, timeoutMs, sink: undefined, admitted });
    exchange.begin(call);
    const outcome = await calls
      .serve(call, run)
      .then((message) => encode(method, protocol.codec, message))
      .then((bytes) => compress(bytes, header(protocol.acceptHeader), encoding))
      .catch((error: unknown) => toConnectError(error, header));
    if (exchange.closed) return;
    protocol.send(exchange, call.requestId, outcome);
    exchange.completed();
  };
}

function encode(method: DescMethod, codec: Codec, response: Response): Uint8Array {
  if (codec === 'binary') return encodeResponse(method, response);
  const { output } = method;
  const message = create(output, response instanceof EncodedResponse ? response.message : response);
  return Buffer.from(toJsonString(output, message, { registry: detailTypes }));
}
