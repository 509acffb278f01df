import {
  create,
  type DescMessage,
  type DescMethodUnary,
  isMessage,
  type Message,
  type MessageShape,
} from '@bufbuild/protobuf';
import type { Logger } from 'pino';
import { Code } from '#gen/google/rpc/code_pb.ts';
import type { Config } from '../config.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Call, UnaryHandler } from './call.ts';
import { CallContext } from './call-context.ts';
import { EncodedResponse, encodeResponse } from './encoded-response.ts';
import { codeName, errors, RpcError } from './errors.ts';
import { apply, type Response, type Run } from './interceptor.ts';
import { mapErrors } from './interceptors/map-errors.ts';
import { type Limiter, rateLimit } from './interceptors/rate-limit.ts';
import { validate } from './interceptors/validate.ts';
import { Turns } from './turns.ts';

type Parts = {
  readonly config: Config;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly limiter: Limiter;
  readonly now: () => number;
};

/**
 * Serves the items of a batch or stream as calls of a unary method by the caller of the batch or stream: each is counted
 * against the method's quota, validated and limited in time by itself.
 */
export class ItemCalls<I extends DescMessage, O extends DescMessage> {
  readonly method: DescMethodUnary<I, O>;
  readonly run: Run;
  readonly parts: Parts;

  constructor(method: DescMethodUnary<I, O>, handler: UnaryHandler<DescMethodUnary<I, O>>, parts: Parts) {
    this.method = method;
    this.parts = parts;
    // The caller and its access were checked for the batch or stream.
    const interceptors = [mapErrors, rateLimit(parts.limiter, parts.config.limits), validate];
    this.run = apply(interceptors, method, (call) => handler(narrow(call.request, method.input), call));
  }

  /** For the items of one call. */
  of(call: Call): Items<I, O> {
    return new Items(this, call);
  }
}

/** The response to an item, in either form. */
export class ItemResponse<O extends DescMessage> {
  readonly #method: DescMethodUnary<DescMessage, O>;
  readonly #response: Response;

  constructor(method: DescMethodUnary<DescMessage, O>, response: Response) {
    this.#method = method;
    this.#response = response;
  }

  get binary(): Uint8Array {
    return encodeResponse(this.#method, this.#response);
  }

  get message(): MessageShape<O> {
    const { output } = this.#method;
    const init = this.#response instanceof EncodedResponse ? this.#response.message : this.#response;
    return narrow(create<DescMessage>(output, init), output);
  }
}

/** The items of one batch or stream. They end with it at the latest. */
export class Items<I extends DescMessage, O extends DescMessage> {
  readonly #calls: ItemCalls<I, O>;
  readonly #parent: Call;
  readonly #active = new Set<CallContext>();
  readonly #turns = new Turns();

  constructor(calls: ItemCalls<I, O>, parent: Call) {
    this.#calls = calls;
    this.#parent = parent;
    parent.signal.addEventListener('abort', () => {
      for (const item of this.#active) item.end(errors.cancelled());
    });
  }

  /** Never rejects because of the item. Items with the same key have turns in the order of these calls. */
  async serve(request: Message, key: bigint): Promise<ItemResponse<O> | RpcError> {
    const item = this.#open(request);
    const turn = this.#turns.take(key);
    item.turn = turn;
    const timer = setTimeout(() => item.end(errors.deadlineExceeded()), item.timeoutMs);
    this.#active.add(item);
    try {
      return this.#observed(new ItemResponse(this.#calls.method, await this.#calls.run(item)));
    } catch (error) {
      if (error instanceof RpcError) return this.#observed(error);
      throw error;
    } finally {
      clearTimeout(timer);
      this.#active.delete(item);
      turn.pass();
    }
  }

  #open(request: Message): CallContext {
    const { edge, requestId, deadline, caller } = this.#parent;
    const { method, parts } = this.#calls;
    const { defaultDeadlineMs } = parts.config.call;
    const timeoutMs = Math.min(defaultDeadlineMs, (deadline ?? Number.POSITIVE_INFINITY) - parts.now());
    const header = (name: string) => (name === 'x-request-id' ? requestId : undefined);
    const incoming = { edge, method, header, request: () => request, timeoutMs, sink: undefined };
    const item = new CallContext(incoming, timeoutMs, parts.now, parts.log);
    item.caller = caller;
    return item;
  }

  #observed<T>(result: T | RpcError): T | RpcError {
    const code = codeName(result instanceof RpcError ? result.code : Code.OK);
    this.#calls.parts.metrics.items.inc({ method: this.#parent.method.name, code });
    return result;
  }
}

function narrow<Desc extends DescMessage>(message: Message, schema: Desc): MessageShape<Desc> {
  if (!isMessage(message, schema)) throw new TypeError(`not a ${schema.typeName}`);
  return message;
}
