import type { DescMessage, DescMethod, Message, MessageInitShape } from '@bufbuild/protobuf';
import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import { access } from './access.ts';
import { authenticate, createTokenReader } from './auth.ts';
import type { Call, Route, Sink } from './call.ts';
import { errors } from './error-map.ts';
import { createLimiter, limits } from './limits.ts';
import type { Metrics } from './metrics.ts';
import { record } from './record.ts';
import type { RunningCall } from './running-call.ts';
import { validate } from './validate.ts';

/** What a handler answers; undefined from streams. */
export type Answer = MessageInitShape<DescMessage> | undefined;

/** Serves a call, from here inwards. */
export type Run = (call: RunningCall) => Promise<Answer>;

/** One layer around every handler. Made once per method at start, so that a contract it cannot serve fails then. */
export type Surrounding = (method: DescMethod, next: Run) => Run;

/** An RPC ready to be served, with all that surrounds its handler. */
export type Rpc = { readonly method: DescMethod; readonly run: Run };

export type EdgeParts = {
  readonly config: Config;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly now: () => number;
};

/** Every RPC of the routes. Both edges serve the same ones, so that limits and known tokens are common to them. */
export async function createRpcs(routes: readonly Route[], parts: EdgeParts): Promise<Rpc[]> {
  const { config, log, metrics, now } = parts;
  // From the outside in: every call is recorded, with the code its errors became; who calls is known before
  // what they may do, and only who may call uses up a limit; the request is decoded and looked at last.
  const surroundings: readonly Surrounding[] = [
    record(log, metrics),
    errors,
    authenticate(await createTokenReader(config.auth, now)),
    access,
    limits(createLimiter(now), config.limits),
    validate,
  ];
  return routes.flatMap((route) =>
    route.service.methods.map((method) => ({
      method,
      run: surroundings.reduceRight((next, surround) => surround(method, next), handlerOf(route, method)),
    })),
  );
}

type AnyHandler = (request: Message, call: Call, sink: Sink | undefined) => Promise<Answer>;

function handlerOf(route: Route, method: DescMethod): Run {
  const handler = route.handlers[method.localName];
  if (!isHandler(handler)) throw new Error(`${method.toString()} has no handler`);
  return (call) => handler(call.request, call, call.arrival.sink);
}

// `route()` has checked the handler's types against the method's.
function isHandler(handler: unknown): handler is AnyHandler {
  return typeof handler === 'function';
}
