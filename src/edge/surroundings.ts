import type { DescMessage, DescMethod, DescService, Message, MessageInitShape } from '@bufbuild/protobuf';
import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import { access } from './access.ts';
import { authenticate, createTokenReader, type TokenReader } from './auth.ts';
import type { Call, Route, Sink } from './call.ts';
import { errors } from './error-map.ts';
import { type Limiter, limits } from './limits.ts';
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

/** What both edges serve, once for both: limits and known tokens are common to them. */
export type Api = {
  readonly rpcs: readonly Rpc[];
  readonly services: readonly DescService[];
  readonly readToken: TokenReader;
};

/** What one edge needs to serve an API. */
export type EdgeParts = {
  readonly api: Api;
  readonly config: Config;
  readonly log: Logger;
  readonly now: () => number;
};

/** A server that is open. */
export type Edge = {
  /** Where it listens; the port is the one bound where the configuration says 0. */
  readonly address: string;
  /** Refuses new calls, lets running ones finish, ends streams for their clients to resume elsewhere, closes. */
  drain(): Promise<void>;
  /** Cuts everything off. */
  close(): Promise<void>;
};

/** Puts the surroundings around the handlers of the routes. */
export async function createApi(
  routes: readonly Route[],
  parts: { config: Config; log: Logger; metrics: Metrics; limiter: Limiter; now: () => number },
): Promise<Api> {
  const { config, log, metrics, limiter, now } = parts;
  const readToken = await createTokenReader(config.auth, now);
  // From the outside in: every call is recorded, with the code its errors became; who calls is known before
  // what they may do, and only who may call uses up a limit; the request is decoded and looked at last.
  const surroundings: readonly Surrounding[] = [
    record(log, metrics),
    errors,
    authenticate(readToken),
    access,
    limits(limiter, config.limits),
    validate,
  ];
  const rpcs = routes.flatMap((route) =>
    route.service.methods.map((method) => ({
      method,
      run: surroundings.reduceRight((next, surround) => surround(method, next), handlerOf(route, method)),
    })),
  );
  return { rpcs, services: routes.map(({ service }) => service), readToken };
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
