import { create, toBinary } from '@bufbuild/protobuf';
import { type Client, ConnectError, createClient, type Transport } from '@connectrpc/connect';
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from '@connectrpc/connect-node';
import { ErrorInfoSchema } from '#gen/google/rpc/error_details_pb.ts';
import { SubscribeResponseSchema } from '#gen/serp/discuss/v1/event_service_pb.ts';
import type { Config } from '../../../src/config.ts';
import { openGrpcEdge } from '../../../src/edge/grpc/server.ts';
import { openWebEdge } from '../../../src/edge/web/server.ts';
import { openCallSchedule } from '../../../src/limit/call-schedule.ts';
import { LocalLimiter } from '../../../src/limit/local.ts';
import { type Api, createApi, type Edge } from '../../../src/rpc/api.ts';
import { type Handlers, type Route, route } from '../../../src/rpc/call.ts';
import { Frame } from '../../../src/rpc/frame.ts';
import { createLogger } from '../../../src/telemetry/log.ts';
import { createMetrics, type Metrics } from '../../../src/telemetry/metrics.ts';
import { testConfig } from '../config.ts';
import { withRequestIds } from '../request-ids.ts';
import { createTokenSigner, type TokenSigner } from '../tokens.ts';
import { EchoService } from './echo.ts';

type EchoHandlers = Handlers<typeof EchoService>;

/** Both edges on free ports, serving EchoService. */
export type TestEdges = AsyncDisposable & {
  readonly grpc: Edge;
  readonly web: Edge;
  readonly config: Config;
  readonly metrics: Metrics;
  readonly signer: TokenSigner;
  /** A token of user 7 of tenant 3. */
  readonly token: string;
  /** Lines of the log so far. */
  readonly log: LogLine[];
};

export type LogLine = Readonly<Record<string, unknown>>;

const signer = await createTokenSigner();

/**
 * By default `write` returns its request, `read` the ids of its caller, and `stream` one frame. `change` can insert a defect.
 */
export async function openEdges(
  handlers: Partial<EchoHandlers> = {},
  env: Record<string, string> = {},
  now: () => number = Date.now,
  change: (api: Api) => Api = (api) => api,
): Promise<TestEdges> {
  const config = testConfig({ ...testEnv, ...env });
  const log: LogLine[] = [];
  const logger = createLogger('debug', { write: (line) => void log.push(JSON.parse(line)) });
  const metrics = createMetrics();
  const routes: Route[] = [route(EchoService, { ...defaults, ...handlers })];
  const limiter = new LocalLimiter(now);
  const revocations = { isRevoked: () => false };
  const callSchedule = openCallSchedule(config.call, metrics);
  const api = await createApi(routes, {
    config,
    log: logger,
    metrics,
    limiter,
    callSchedule,
    revocations,
    now,
  });
  const parts = { api: change(api), config, log: logger, metrics, now };
  const [grpc, web] = await Promise.all([openGrpcEdge(parts), openWebEdge(parts)]);
  return {
    grpc,
    web,
    config,
    metrics,
    signer,
    token: await signer.sign({ userId: 7n, tenantId: 3n, name: 'Lan' }),
    log,
    async [Symbol.asyncDispose]() {
      await Promise.all([grpc.close(), web.close()]);
    },
  };
}

/** A request of Write as JSON. */
export const jsonMessage = JSON.stringify({
  channelId: '1',
  content: 'hello',
  requestId: '00000000-0000-4000-8000-000000000001',
});

export const testEnv = {
  DATABASE_URL: 'postgres://nowhere',
  REDIS_URL: 'redis://nowhere',
  GRPC_ADDR: '127.0.0.1:0',
  WEB_ADDR: '127.0.0.1:0',
  AUTH_JWKS_URL: signer.jwksUrl,
  AUTH_ISSUER: signer.issuer,
  AUTH_AUDIENCE: signer.audience,
  SECRET_KEYS: signer.secretKeys,
  DRAIN_DELAY_MS: '0',
  DRAIN_TIMEOUT_MS: '2000',
};

/** Every combination of edge, protocol, HTTP version and codec. */
export const protocols = [
  { name: 'gRPC on the mesh edge', open: (edges: TestEdges) => grpc(edges.grpc.address, true) },
  { name: 'gRPC on the web edge', open: (edges: TestEdges) => grpc(edges.web.address, true) },
  { name: 'gRPC on the web edge, JSON', open: (edges: TestEdges) => grpc(edges.web.address, false) },
  ...(['1.1', '2'] as const).flatMap((httpVersion) =>
    [true, false].flatMap((useBinaryFormat) => [
      {
        name: `Connect over HTTP/${httpVersion}, ${useBinaryFormat ? 'binary' : 'JSON'}`,
        open: ({ web }: TestEdges) =>
          createConnectTransport({ baseUrl: `http://${web.address}`, httpVersion, useBinaryFormat }),
      },
      {
        name: `gRPC-Web over HTTP/${httpVersion}, ${useBinaryFormat ? 'binary' : 'JSON'}`,
        open: ({ web }: TestEdges) =>
          createGrpcWebTransport({ baseUrl: `http://${web.address}`, httpVersion, useBinaryFormat }),
      },
    ]),
  ),
] as const;

export function clientOf(transport: Transport): Client<typeof EchoService> {
  return createClient(EchoService, withRequestIds(transport));
}

export function bearer(token: string): { headers: Record<string, string> } {
  return { headers: { authorization: `Bearer ${token}` } };
}

/** A frame whose heartbeat holds the number, padded to about `size` bytes. */
export function numberedFrame(seq: bigint, size = 0): Frame {
  const heads = Array.from({ length: Math.max(1, size / 10) }, () => ({ channelId: 1n << 60n, seq }));
  const response = create(SubscribeResponseSchema, { payload: { case: 'heartbeat', value: { heads } } });
  return new Frame(SubscribeResponseSchema, Buffer.from(toBinary(SubscribeResponseSchema, response)));
}

/** Number of a frame that a client received. */
export function numberOf(response: {
  payload: { case?: string | undefined; value?: unknown };
}): bigint | undefined {
  const value = Object(response.payload.value);
  return value.heads?.[0]?.seq;
}

/** The error a call ends with, and the reason in its details. */
export async function failureOf(
  call: Promise<unknown>,
): Promise<{ error: ConnectError; reason: string | undefined }> {
  const error = await call.then(
    () => new Error('the call succeeded'),
    (reason) => reason,
  );
  if (!(error instanceof ConnectError)) throw error;
  return { error, reason: error.findDetails(ErrorInfoSchema)[0]?.reason };
}

function grpc(address: string, useBinaryFormat: boolean): Transport {
  return createGrpcTransport({ baseUrl: `http://${address}`, useBinaryFormat });
}

const defaults: EchoHandlers = {
  write: async (request) => ({ message: { content: request.content, channelId: request.channelId } }),
  read: async (_request, { caller }) => ({ message: { id: caller.tenantId, senderId: caller.userId } }),
  serve: async (_request, { caller }) => ({ message: { id: caller.tenantId, senderId: caller.userId } }),
  operate: async () => ({}),
  stream: async (_request, _call, sink) => sink.write(numberedFrame(1n)),
};
