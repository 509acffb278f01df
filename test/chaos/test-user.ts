import { setTimeout as sleep } from 'node:timers/promises';
import type { DescService } from '@bufbuild/protobuf';
import {
  type Client,
  ConnectError,
  createClient,
  type Interceptor,
  type Transport,
} from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-web';
import { RetryInfoSchema } from '#gen/google/rpc/error_details_pb.ts';
import type { Edge } from '../kit/app.ts';
import { GrpcTransport } from './grpc-transport.ts';
import type { Instance } from './instance.ts';
import type { Ledger } from './ledger.ts';

export const TENANT = 1n;

const DEADLINE_MS = 3_000;
const FIRST_BACKOFF_MS = 50;
const MAX_BACKOFF_MS = 1_000;
const RETRY_TIMEOUT_MS = 90_000;

/** A user who calls either instance over one of the edges, over dedicated connections. */
export class TestUser implements Disposable {
  readonly userId: bigint;
  readonly edge: Edge;
  /** Number of the instance that is called without a fault. */
  readonly home: number;
  readonly token: string;
  readonly ledger: Ledger;
  readonly #transports: readonly Transport[];
  #current: number;

  constructor(parts: {
    userId: bigint;
    edge: Edge;
    home: number;
    token: string;
    instances: readonly Instance[];
    ledger: Ledger;
  }) {
    this.userId = parts.userId;
    this.edge = parts.edge;
    this.home = parts.home;
    this.#current = parts.home;
    this.token = parts.token;
    this.ledger = parts.ledger;
    this.#transports = parts.instances.map((instance) => connect(parts.edge, instance, parts.token));
  }

  client<S extends DescService>(service: S, instance: number): Client<S> {
    const transport = this.#transports[instance];
    if (transport === undefined) throw new RangeError(`no instance ${instance}`);
    return createClient(service, transport);
  }

  /**
   * Repeats a call until it succeeds, as clients should: with a deadline for each attempt, increasing delays, and the
   * other instance after a failure, unless `only` names an instance.
   */
  async retry<S extends DescService, T>(
    service: S,
    call: (client: Client<S>, options: { timeoutMs: number }) => Promise<T>,
    only?: number,
  ): Promise<T> {
    const end = performance.now() + RETRY_TIMEOUT_MS;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await call(this.client(service, only ?? this.#current), { timeoutMs: DEADLINE_MS });
      } catch (thrown) {
        const error = ConnectError.from(thrown);
        this.ledger.recordError(error, `${service.name} over ${this.edge}`);
        if (performance.now() > end) throw error;
        this.#current = otherInstance(this.#current);
        await sleep(delayAfter(error, attempt));
      }
    }
  }

  returnHome(): void {
    this.#current = this.home;
  }

  [Symbol.dispose](): void {
    for (const transport of this.#transports)
      if (transport instanceof GrpcTransport) transport[Symbol.dispose]();
  }
}

/** Number of the other of two instances. */
export function otherInstance(instance: number): number {
  return 1 - instance;
}

/** Increases with each attempt, has jitter, and is at least the retry delay of the error. */
export function delayAfter(error: ConnectError | undefined, attempt: number): number {
  const delay = error?.findDetails(RetryInfoSchema)[0]?.retryDelay;
  const requested = delay === undefined ? 0 : Number(delay.seconds) * 1_000 + delay.nanos / 1e6;
  const backoff = Math.min(FIRST_BACKOFF_MS * 2 ** (attempt - 1), MAX_BACKOFF_MS);
  return Math.max(requested, backoff) * (1 + Math.random() / 2);
}

function connect(edge: Edge, instance: Instance, token: string): Transport {
  if (edge === 'grpc') return new GrpcTransport(instance.grpcAddress, token);
  const authorize: Interceptor = (next) => (request) => {
    request.header.set('authorization', `Bearer ${token}`);
    return next(request);
  };
  return createConnectTransport({
    baseUrl: instance.webUrl,
    useBinaryFormat: true,
    interceptors: [authorize],
  });
}
