import { readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DescService } from '@bufbuild/protobuf';
import { type Client, createClient, type Interceptor } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { Health } from '#gen/grpc/health/v1/health_pb.ts';
import { ServerReflection } from '#gen/grpc/reflection/v1/reflection_pb.ts';
import { Instance } from '../chaos/instance.ts';
import type { As, Edge } from '../kit/app.ts';
import { freshDatabase } from '../kit/database.ts';
import { freshRedis } from '../kit/redis.ts';
import { withRequestIds } from '../kit/request-ids.ts';
import { freshStorage } from '../kit/storage.ts';
import { createTokenSigner, type TokenSigner } from '../kit/tokens.ts';
import { until } from '../kit/until.ts';

const CONTRACT = new URL('../../gen/serp/discuss/v1/', import.meta.url);
const COLLECT_EVERY_MS = 500;
// With the probes that docs/operations.md recommends, an orchestrator ends an instance after 25 s at the earliest.
const HEALTH_MS = 20_000;
const WARNINGS_OF_MACHINE = /^(redis|presence broadcast failed)/;

/** Settings with which each call can succeed: without limits per user and tenant, and with a key of encrypted channels. */
export const FUZZ_SETTINGS = {
  LIMIT_SEND_PER_MINUTE: '0',
  LIMIT_READ_PER_MINUTE: '0',
  LIMIT_SEARCH_PER_MINUTE: '0',
  LIMIT_STREAM_OPENS_PER_MINUTE: '0',
  LIMIT_TENANT_PER_MINUTE: '0',
  ENCRYPTION_KEYS: `fuzz=${Buffer.alloc(32, 1).toString('base64')}`,
};

/** An instance in its own process, on a database, a Redis and a store of files of its own. */
export class Target implements AsyncDisposable {
  readonly instance: Instance;
  readonly addresses: Readonly<Record<Edge, string>>;
  readonly #tokens: TokenSigner;
  readonly #known = new Map<string, Promise<string>>();
  readonly #owned: AsyncDisposableStack;

  private constructor(instance: Instance, tokens: TokenSigner, owned: AsyncDisposableStack) {
    this.instance = instance;
    this.addresses = { grpc: instance.grpcAddress, web: new URL(instance.webUrl).host };
    this.#tokens = tokens;
    this.#owned = owned;
  }

  /** `settings` changes the configuration, which is the default one without tests of timing. */
  static async open(settings: Readonly<Record<string, string>> = {}): Promise<Target> {
    await using owned = new AsyncDisposableStack();
    const database = owned.adopt(await freshDatabase(), (opened) => opened.close());
    const redis = owned.adopt(await freshRedis(), (opened) => opened.close());
    const storage = owned.adopt(await freshStorage(), (opened) => opened.close());
    const tokens = await createTokenSigner();
    const env = {
      DATABASE_URL: database.serviceUrl,
      REDIS_URL: redis.url,
      REDIS_CLUSTER: String(redis.cluster),
      AUTH_JWKS_URL: tokens.jwksUrl,
      AUTH_ISSUER: tokens.issuer,
      AUTH_AUDIENCE: tokens.audience,
      SECRET_KEYS: tokens.secretKeys,
      DRAIN_DELAY_MS: '0',
      DRAIN_TIMEOUT_MS: '2000',
      ...storage.env,
      ...settings,
    };
    const instance = owned.adopt(await Instance.start('target', env), (started) => started.close());
    return new Target(instance, tokens, owned.move());
  }

  token(as: As): Promise<string> {
    const key = `${as.tenantId} ${as.userId} ${as.roles ?? ''}`;
    const token = this.#known.get(key) ?? this.#tokens.sign(as);
    this.#known.set(key, token);
    return token;
  }

  client<S extends DescService>(service: S, as: As): Client<S> {
    const authorize: Interceptor = (next) => async (request) => {
      request.header.set('authorization', `Bearer ${await this.token(as)}`);
      return next(request);
    };
    const baseUrl = `http://${this.addresses.grpc}`;
    const transport = createGrpcTransport({ baseUrl, interceptors: [authorize] });
    return createClient(service, withRequestIds(transport));
  }

  /** Whether its probes pass before an orchestrator would end it. */
  becomesHealthy(): Promise<boolean> {
    const healthy = until(() => this.instance.isHealthy(), 'health', HEALTH_MS);
    return healthy.then(
      () => true,
      () => false,
    );
  }

  /** Whatever the instance must never do: end, log an exception, or count an unexpected error. */
  async problems(): Promise<string[]> {
    if (!(await this.becomesHealthy())) return ['the instance is not healthy'];
    const logged = this.instance
      .takeLog()
      .filter(({ msg }) => !WARNINGS_OF_MACHINE.test(msg))
      .map(({ level, msg, err }) => `logged as ${level}: ${msg}: ${err?.message ?? ''}`);
    const metrics = await this.instance.metrics();
    const counted = ['discuss_listener_errors_total', 'discuss_relay_rejections_total']
      .filter((name) => (metrics.get(name) ?? 0) > 0)
      .map((name) => `${name} is ${metrics.get(name)}`);
    return [...logged, ...counted];
  }

  /** Waits until the live memory is less than `growth` bytes above `before`. */
  async memoryReturns(before: number, growth: number): Promise<void> {
    const isBack = async () => {
      const { live } = await this.instance.memory();
      if (live < before + growth) return true;
      // A collection stops the instance, which has calls to end in between.
      await sleep(COLLECT_EVERY_MS);
      return false;
    };
    await until(isBack, `memory in use of less than ${Math.round((before + growth) / 1e6)} MB`, 30_000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}

/** Every service of the contract, and those of gRPC that both tools and probes call. */
export async function allServices(): Promise<DescService[]> {
  const files = (await readdir(CONTRACT)).filter((name) => name.endsWith('_service_pb.ts'));
  const modules = await Promise.all(
    files.map((name): Promise<object> => import(new URL(name, CONTRACT).href)),
  );
  const services = modules.flatMap((module) => Object.values(module).filter(isService));
  return [...services, Health, ServerReflection];
}

function isService(value: unknown): value is DescService {
  return typeof value === 'object' && value !== null && Reflect.get(value, 'kind') === 'service';
}
