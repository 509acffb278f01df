import type { DescMethod, DescService, Message } from '@bufbuild/protobuf';
import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Tracer } from '../telemetry/tracing.ts';
import type { Call, RequestStream, Route, Sink } from './call.ts';
import { CancelledCalls } from './cancelled-calls.ts';
import type { Identity } from './claims.ts';
import { errors } from './errors.ts';
import { apply, type Interceptor, type Response, type Rpc, type Run } from './interceptor.ts';
import { accessLog } from './interceptors/access-log.ts';
import { authenticate, createTokenVerifier, type VerifyToken } from './interceptors/authenticate.ts';
import { authorize } from './interceptors/authorize.ts';
import { limitPending } from './interceptors/limit-pending.ts';
import { mapErrors } from './interceptors/map-errors.ts';
import { pageSizes } from './interceptors/page-size.ts';
import { pageTokens } from './interceptors/page-token.ts';
import { type Limiter, rateLimit } from './interceptors/rate-limit.ts';
import { type CallSchedule, pace, schedule } from './interceptors/schedule.ts';
import { trace } from './interceptors/trace.ts';
import { validate } from './interceptors/validate.ts';
import { type AccessError, OpenStreams } from './open-streams.ts';
import type { PendingResponses } from './pending-responses.ts';
import { createSigner } from './signer.ts';
import { UnreadRequests } from './unread-requests.ts';

/** What both edges serve. They share rate limits and the cache of verified tokens. */
export type Api = {
  readonly rpcs: readonly Rpc[];
  readonly services: readonly DescService[];
  readonly verifyToken: VerifyToken;
  /** For calls that are cancelled before `run`. */
  readonly cancelledCalls: CancelledCalls;
  readonly openStreams: OpenStreams;
  readonly pending: PendingResponses;
};

/** What an edge needs to serve an API. */
export type EdgeParts = {
  readonly api: Api;
  readonly config: Config;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly now: () => number;
};

/** A server that is open. */
export type Edge = {
  /** Address with the bound port, also where the configured port is 0. */
  readonly address: string;
  /** Reports NOT_SERVING to health checks, and still serves. */
  announceDrain(): void;
  /** Rejects new calls, lets running calls finish, ends streams, which clients resume elsewhere, and closes. */
  drain(): Promise<void>;
  /** Closes at once, with all connections. */
  close(): Promise<void>;
};

/** Applies the interceptors to the handlers of the routes; `innermost` see the decoded and valid request. */
export async function createApi(
  routes: readonly Route[],
  parts: {
    config: Config;
    log: Logger;
    metrics: Metrics;
    limiter: Limiter;
    callSchedule: CallSchedule;
    tracer?: Tracer | undefined;
    revocations: { isRevoked(identity: Identity): boolean };
    now: () => number;
  },
  innermost: readonly Interceptor[] = [],
): Promise<Api> {
  const { config, log, metrics, limiter, callSchedule, now } = parts;
  const { pending } = callSchedule;
  const verifyToken = await createTokenVerifier(config.auth, now);
  const accessError: AccessError = (identity) => {
    if (parts.revocations.isRevoked(identity))
      return errors.accessRevoked(identity.tenantId, identity.userId);
    const isValid = identity.token.expireTime + config.auth.clockToleranceMs > now();
    return isValid ? undefined : errors.tokenExpired(identity.token.expireTime);
  };
  const cancelledCalls = new CancelledCalls(config.limits.cancelledPerMinute, now);
  const openStreams = new OpenStreams(accessError);
  // Outermost first: the access log sees every call with its final code; a caller is authenticated before it is
  // authorized, and only an authorized call counts against a limit; one that exceeds no limit waits for its turn, and its
  // request is decoded and validated last.
  const access: readonly Interceptor[] = [
    cancelledCalls.observe,
    mapErrors,
    authenticate(verifyToken, accessError, openStreams),
    cancelledCalls.reject,
    authorize,
  ];
  const interceptors: readonly Interceptor[] = [
    ...(parts.tracer === undefined ? [] : [trace(parts.tracer)]),
    accessLog(log, metrics),
    ...access,
    rateLimit(limiter, config.limits),
    schedule(callSchedule),
    limitPending(pending),
    validate,
    pageSizes,
    pageTokens(createSigner(config.secrets.keys, 'page token')),
    ...innermost,
  ];
  const unread = new UnreadRequests(config.limits.unreadRequests);
  const failures = accessLog(log, metrics, { failuresOnly: true });
  const admission = [failures, ...access, unread.count, pace(callSchedule)];
  const rpcs = routes.flatMap((route) =>
    route.service.methods.map((method) => ({
      method,
      admit: apply(admission, method, async () => undefined),
      run: apply(interceptors, method, handlerOf(route, method)),
    })),
  );
  return {
    rpcs,
    services: routes.map(({ service }) => service),
    cancelledCalls,
    async verifyToken(token) {
      const identity = await verifyToken(token);
      const error = accessError(identity);
      if (error !== undefined) throw error;
      return identity;
    },
    openStreams,
    pending,
  };
}

type AnyHandler = (
  request: Message | RequestStream | undefined,
  call: Call,
  sink: Sink | undefined,
) => Promise<Response>;

function handlerOf(route: Route, method: DescMethod): Run {
  const handler = route.handlers[method.localName];
  if (!isHandler(handler)) throw new Error(`${method.toString()} has no handler`);
  if (method.methodKind === 'bidi_streaming')
    return (call) => handler(call.incoming.requests, call, call.incoming.sink);
  if (method.methodKind === 'server_streaming')
    return (call) => handler(call.takeRequest(), call, call.incoming.sink);
  return (call) => handler(call.request, call, call.incoming.sink);
}

// `route()` has checked the handler's types against the method's.
function isHandler(handler: unknown): handler is AnyHandler {
  return typeof handler === 'function';
}
