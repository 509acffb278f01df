// Runs in a worker: a tenant whose calls the attacks must not slow down.
import { parentPort, workerData } from 'node:worker_threads';
import { createClient, type Interceptor, type Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { withRequestIds } from '../kit/request-ids.ts';

/** What the worker needs: addresses of the edges, tokens of its users, and their channel. */
export type QuietCallerData = {
  readonly grpc: string;
  readonly web: string;
  readonly tokens: readonly string[];
  readonly channelId: bigint;
};

/** Durations in milliseconds of all calls that began between two messages to the worker, and the errors. */
export type QuietCallerReport = { readonly durations: readonly number[]; readonly errors: readonly string[] };

type Phase = { readonly durations: number[]; readonly errors: string[]; readonly calls: Promise<unknown>[] };

const INTERVAL_MS = 20;

// Null where the file is imported for its types only.
if (parentPort !== null) start(parentPort, workerData);

function start(port: NonNullable<typeof parentPort>, data: QuietCallerData): void {
  const transports = data.tokens.map((token, index) => connect(data, token, index));
  let phase: Phase = { durations: [], errors: [], calls: [] };
  let calls = 0;
  setInterval(() => {
    calls += 1;
    const transport = transports[calls % transports.length];
    if (transport === undefined) return;
    const began = performance.now();
    const { durations, errors } = phase;
    const ended = call(transport, data.channelId, calls).then(
      () => durations.push(performance.now() - began),
      (error: Error) => errors.push(error.message),
    );
    phase.calls.push(ended);
  }, INTERVAL_MS);
  port.on('message', async () => {
    const { durations, errors, calls: running } = phase;
    phase = { durations: [], errors: [], calls: [] };
    await Promise.all(running);
    const report: QuietCallerReport = { durations, errors };
    port.postMessage(report);
  });
}

function call(transport: Transport, channelId: bigint, calls: number): Promise<unknown> {
  const client = createClient(MessageService, transport);
  // Every fourth call is a write.
  return calls % 4 === 0
    ? client.sendMessage({ channelId, content: 'bình thường' })
    : client.listMessages({ channelId, pageSize: 10 });
}

function connect({ grpc, web }: QuietCallerData, token: string, index: number): Transport {
  const authorize: Interceptor = (next) => (request) => {
    request.header.set('authorization', `Bearer ${token}`);
    return next(request);
  };
  const interceptors = [authorize];
  return withRequestIds(
    index % 2 === 0
      ? createGrpcTransport({ baseUrl: `http://${grpc}`, interceptors })
      : createConnectTransport({ baseUrl: `http://${web}`, httpVersion: '2', interceptors }),
  );
}
