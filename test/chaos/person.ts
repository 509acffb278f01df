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
const LONGEST_BACKOFF_MS = 1_000;
const PATIENCE_MS = 90_000;

/** Somebody who calls either instance over one of the edges, from connections of their own. */
export class Person implements Disposable {
  readonly userId: bigint;
  readonly edge: Edge;
  /** Number of the instance they call when nothing is wrong. */
  readonly home: number;
  readonly token: string;
  readonly ledger: Ledger;
  readonly #transports: readonly Transport[];
  #at: number;

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
    this.#at = parts.home;
    this.token = parts.token;
    this.ledger = parts.ledger;
    this.#transports = parts.instances.map((instance) => connect(parts.edge, instance, parts.token));
  }

  client<S extends DescService>(service: S, instance: number): Client<S> {
    const transport = this.#transports[instance];
    if (transport === undefined) throw new RangeError(`there is no instance ${instance}`);
    return createClient(service, transport);
  }

  /**
   * Repeats a call until it is answered, as clients should: with a deadline for each attempt, with growing pauses,
   * and at the other instance after a failure unless it is about a certain one.
   */
  async insist<S extends DescService, T>(
    service: S,
    call: (client: Client<S>, options: { timeoutMs: number }) => Promise<T>,
    only?: number,
  ): Promise<T> {
    const end = performance.now() + PATIENCE_MS;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await call(this.client(service, only ?? this.#at), { timeoutMs: DEADLINE_MS });
      } catch (thrown) {
        const error = ConnectError.from(thrown);
        this.ledger.note(error, `${service.name} over ${this.edge}`);
        if (performance.now() > end) throw error;
        this.#at = other(this.#at);
        await sleep(pauseAfter(error, attempt));
      }
    }
  }

  goHome(): void {
    this.#at = this.home;
  }

  [Symbol.dispose](): void {
    for (const transport of this.#transports)
      if (transport instanceof GrpcTransport) transport[Symbol.dispose]();
  }
}

/** Number of the other of two instances. */
export function other(instance: number): number {
  return 1 - instance;
}

/** Grows with each attempt, is never the same for two clients, and at least what the service asks for. */
export function pauseAfter(error: ConnectError | undefined, attempt: number): number {
  const delay = error?.findDetails(RetryInfoSchema)[0]?.retryDelay;
  const asked = delay === undefined ? 0 : Number(delay.seconds) * 1_000 + delay.nanos / 1e6;
  const grown = Math.min(FIRST_BACKOFF_MS * 2 ** (attempt - 1), LONGEST_BACKOFF_MS);
  return Math.max(asked, grown) * (1 + Math.random() / 2);
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
