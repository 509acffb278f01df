import type { DescMethod, DescService, Message } from '@bufbuild/protobuf';
import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Call, Route, Sink } from './call.ts';
import type { Interceptor, Response, Rpc, Run } from './interceptor.ts';
import { accessLog } from './interceptors/access-log.ts';
import { authenticate, createTokenReader, type TokenReader } from './interceptors/authenticate.ts';
import { authorize } from './interceptors/authorize.ts';
import { mapErrors } from './interceptors/map-errors.ts';
import { type Limiter, rateLimit } from './interceptors/rate-limit.ts';
import { validate } from './interceptors/validate.ts';

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

/** Puts the interceptors around the handlers of the routes. */
export async function createApi(
  routes: readonly Route[],
  parts: { config: Config; log: Logger; metrics: Metrics; limiter: Limiter; now: () => number },
): Promise<Api> {
  const { config, log, metrics, limiter, now } = parts;
  const readToken = await createTokenReader(config.auth, now);
  // From the outside in: every call is recorded, with the code its errors became; who calls is known before
  // what they may do, and only who may call uses up a limit; the request is decoded and looked at last.
  const interceptors: readonly Interceptor[] = [
    accessLog(log, metrics),
    mapErrors,
    authenticate(readToken),
    authorize,
    rateLimit(limiter, config.limits),
    validate,
  ];
  const rpcs = routes.flatMap((route) =>
    route.service.methods.map((method) => ({
      method,
      run: interceptors.reduceRight((next, intercept) => intercept(method, next), handlerOf(route, method)),
    })),
  );
  return { rpcs, services: routes.map(({ service }) => service), readToken };
}

type AnyHandler = (request: Message, call: Call, sink: Sink | undefined) => Promise<Response>;

function handlerOf(route: Route, method: DescMethod): Run {
  const handler = route.handlers[method.localName];
  if (!isHandler(handler)) throw new Error(`${method.toString()} has no handler`);
  return (call) => handler(call.request, call, call.arrival.sink);
}

// `route()` has checked the handler's types against the method's.
function isHandler(handler: unknown): handler is AnyHandler {
  return typeof handler === 'function';
}
