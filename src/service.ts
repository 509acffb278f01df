import type { Logger } from 'pino';
import type { Config } from './config.ts';
import { assertSchema, assertServiceRole } from './db/migrate.ts';
import { type Deps, openDeps } from './deps.ts';
import { openGrpcEdge } from './edge/grpc/server.ts';
import { openWebEdge } from './edge/web/server.ts';
import { routes } from './routes.ts';
import { createApi } from './rpc/api.ts';
import { openMetricsServer } from './telemetry/metrics.ts';

/** A running instance, for main.ts and for tests. */
export type Service = {
  readonly grpcAddress: string;
  readonly webAddress: string;
  readonly metricsAddress: string;
  readonly deps: Deps;
  /** Lets running calls finish, ends the streams, and closes everything. */
  drain(): Promise<void>;
};

/** Opens an instance. Fails when the database's schema is not the one this build is made for. */
export async function openService(config: Config, log: Logger): Promise<Service> {
  const deps = openDeps(config, log);
  const closing: (() => Promise<unknown>)[] = [() => deps.close()];
  try {
    await assertSchema(deps.db.log);
    await assertServiceRole(deps.db.log);
    await deps.start();
    let draining = false;
    const api = await createApi(routes(deps), deps);
    const parts = { api, config, log, now: deps.now };
    const metrics = await openMetricsServer(config.metrics.address, deps.metrics, () => !draining);
    closing.unshift(() => metrics.close());
    const grpc = await openGrpcEdge(parts);
    closing.unshift(() => grpc.close());
    const web = await openWebEdge(parts);
    closing.unshift(() => web.close());
    return {
      grpcAddress: grpc.address,
      webAddress: web.address,
      metricsAddress: metrics.address,
      deps,
      async drain() {
        draining = true;
        await Promise.all([grpc.drain(), web.drain()]);
        await closeAll(closing);
      },
    };
  } catch (error) {
    await closeAll(closing);
    throw error;
  }
}

async function closeAll(closing: readonly (() => Promise<unknown>)[]): Promise<void> {
  for (const close of closing) await close();
}
