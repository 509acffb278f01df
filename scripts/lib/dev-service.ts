import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClient } from '@connectrpc/connect';
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { Health, HealthCheckResponse_ServingStatus } from '#gen/grpc/health/v1/health_pb.ts';
import { DEV_FOLDER } from './dev-state.ts';
import { hasEnded, launch, stop, waitUntil } from './processes.ts';

const START_MS = 30_000;
// Longer than the service's own DRAIN_TIMEOUT_MS.
const STOP_MS = 20_000;

export const serviceLog = join(DEV_FOLDER, 'service.log');

export interface DevService {
  /** Rejects when the service ends without `stop`. */
  readonly failed: Promise<never>;
  /** Fails when the service does not report SERVING in time. */
  ready(grpcAddress: string): Promise<void>;
  stop(): Promise<void>;
}

/** Starts one instance of the service from its sources; its log is written to a file. */
export function startService(env: Readonly<Record<string, string>>): DevService {
  const log = openSync(serviceLog, 'w');
  const child = launch({
    command: [process.execPath, '--max-semi-space-size=16', 'src/main.ts'],
    orphanSignal: 'SIGTERM',
    env: { ...process.env, ...env },
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  let stopping = false;
  const failed = new Promise<never>((_, fail) => {
    const end = (reason: string) => {
      if (!stopping)
        fail(new Error(`The service has ended (${reason}). The end of ${serviceLog}:\n${logTail()}`));
    };
    child.once('error', (error) => end(error.message));
    child.once('exit', (code, signal) => end(signal ?? `code ${code}`));
  });
  failed.catch(() => {});
  return {
    failed,
    async ready(grpcAddress) {
      await Promise.race([
        failed,
        waitUntil('The service is SERVING', START_MS, () => isServing(grpcAddress)),
      ]);
    },
    async stop() {
      stopping = true;
      if (!hasEnded(child)) await stop(child, 'SIGTERM', STOP_MS);
    },
  };
}

async function isServing(grpcAddress: string): Promise<true | undefined> {
  const baseUrl = `http://${grpcAddress}`;
  const sessionManager = new Http2SessionManager(baseUrl);
  try {
    const client = createClient(Health, createGrpcTransport({ baseUrl, sessionManager }));
    const { status } = await client.check({}, { timeoutMs: 2_000 });
    return status === HealthCheckResponse_ServingStatus.SERVING ? true : undefined;
  } catch {
    return undefined;
  } finally {
    sessionManager.abort();
  }
}

function logTail(): string {
  return readFileSync(serviceLog, 'utf8').trimEnd().split('\n').slice(-15).join('\n');
}
