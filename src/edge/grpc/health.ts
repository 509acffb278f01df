import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type Server,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import {
  HealthCheckRequestSchema,
  HealthCheckResponseSchema,
  HealthListResponseSchema,
  Health as HealthService,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '#gen/grpc/health/v1/health_pb.ts';
import { asBuffer, type RequestBytes, serviceDefinition } from './service-definition.ts';

const undecodable = {
  code: status.INVALID_ARGUMENT,
  details: 'request: cannot be decoded as a HealthCheckRequest',
};
const tooManyWatches = { code: status.RESOURCE_EXHAUSTED, details: 'too many health watches' };

type Watch = ServerWritableStream<RequestBytes, Buffer>;

// No service has an empty segment in its name.
const UNKNOWN = '.';

// A client has no reason for more than one for each service. When a connection ends, all its streams end in one turn of the
// event loop, each for 0.1 to 0.2 ms.
const MAX_WATCHES_PER_CONNECTION = 20;

/**
 * `grpc.health.v1` for the server, under the name "", and for each service. It requires no token.
 * Not grpc-health-check: that package cannot end its watches, so that each drain with one would run into its time-out.
 */
export class Health {
  readonly #names: ReadonlySet<string>;
  readonly #watches = new Map<Watch, string>();
  /** Their number by the address of the client. */
  readonly #byPeer = new Map<string, number>();
  readonly #maxWatches: number;
  #serving = true;

  constructor(services: readonly string[], maxWatches: number) {
    this.#names = new Set(['', ...services]);
    this.#maxWatches = maxWatches;
  }

  addTo(server: Server): void {
    server.addService(serviceDefinition(HealthService), {
      check: (call: ServerUnaryCall<RequestBytes, Buffer>, respond: sendUnaryData<Buffer>) => {
        const name = serviceOf(call.request.take());
        if (name === undefined) respond(undecodable);
        else if (this.#names.has(name)) respond(null, this.#response(name));
        else respond({ code: status.NOT_FOUND, details: 'unknown service' });
      },
      watch: (call: Watch) => {
        const name = serviceOf(call.request.take());
        if (name === undefined) return void call.emit('error', undecodable);
        if (!this.#add(call, name)) return void call.emit('error', tooManyWatches);
        call.write(this.#response(name));
      },
      list: (_call: ServerUnaryCall<RequestBytes, Buffer>, respond: sendUnaryData<Buffer>) => {
        const statuses = Object.fromEntries(
          [...this.#names].map((name) => [name, { status: this.#status(name) }]),
        );
        respond(
          null,
          asBuffer(toBinary(HealthListResponseSchema, create(HealthListResponseSchema, { statuses }))),
        );
      },
    });
  }

  /** Changes to NOT_SERVING, and notifies the watches. */
  drain(): void {
    if (!this.#serving) return;
    this.#serving = false;
    for (const [call, name] of this.#watches) call.write(this.#response(name));
  }

  /** Ends the watches; the server does not shut down before. */
  close(): void {
    for (const call of this.#watches.keys()) {
      call.emit('error', { code: status.UNAVAILABLE, details: 'the server is stopping' });
    }
    this.#watches.clear();
  }

  /** Returns whether there are fewer watches than the limits. */
  #add(call: Watch, name: string): boolean {
    const peer = call.getPeer();
    const ofPeer = this.#byPeer.get(peer) ?? 0;
    if (this.#watches.size >= this.#maxWatches || ofPeer >= MAX_WATCHES_PER_CONNECTION) return false;
    // Other names may be long.
    this.#watches.set(call, this.#names.has(name) ? name : UNKNOWN);
    this.#byPeer.set(peer, ofPeer + 1);
    call.on('cancelled', () => {
      this.#watches.delete(call);
      const left = (this.#byPeer.get(peer) ?? 0) - 1;
      if (left > 0) this.#byPeer.set(peer, left);
      else this.#byPeer.delete(peer);
    });
    return true;
  }

  #status(name: string): ServingStatus {
    if (!this.#names.has(name)) return ServingStatus.SERVICE_UNKNOWN;
    return this.#serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
  }

  #response(name: string): Buffer {
    const response = create(HealthCheckResponseSchema, { status: this.#status(name) });
    return asBuffer(toBinary(HealthCheckResponseSchema, response));
  }
}

function serviceOf(request: Buffer): string | undefined {
  try {
    return fromBinary(HealthCheckRequestSchema, request).service;
  } catch {
    return undefined;
  }
}
