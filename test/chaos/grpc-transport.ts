import {
  create,
  type DescMessage,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { Code, ConnectError, type Transport } from '@connectrpc/connect';
import {
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { type Status, StatusSchema } from '#gen/google/rpc/status_pb.ts';

const CODES = new Map(
  Object.values(Code)
    .filter((code) => typeof code === 'number')
    .map((code) => [Number(code), code]),
);
// The settings of services that must detect a dead peer within seconds.
const OPTIONS = {
  'grpc.keepalive_time_ms': 1_000,
  'grpc.keepalive_timeout_ms': 3_000,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 500,
  'grpc.use_local_subchannel_pool': 1,
};

/**
 * A transport over grpc-js, the client that services use: it has keepalive, reconnects by itself, and reports a lost
 * connection with the code that gRPC defines for it.
 */
export class GrpcTransport implements Transport, Disposable {
  readonly #client: Client;
  readonly #metadata = new Metadata();

  constructor(address: string, token: string) {
    this.#client = new Client(address, credentials.createInsecure(), OPTIONS);
    this.#metadata.set('authorization', `Bearer ${token}`);
  }

  unary: Transport['unary'] = (method, signal, timeoutMs, _header, input) =>
    new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        pathOf(method),
        encoder(method.input),
        decoder(method.output),
        create(method.input, input),
        this.#metadata,
        timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs },
        (error, message) => {
          if (error !== null || message === undefined) reject(toConnectError(error));
          else resolve({ ...responseTo(method), stream: false, method, message });
        },
      );
      signal?.addEventListener('abort', () => call.cancel(), { once: true });
    });

  stream: Transport['stream'] = async (method, signal, _timeoutMs, _header, input) => {
    const parts = [pathOf(method), encoder(method.input), decoder(method.output)] as const;
    let call: ClientReadableStream<MessageShape<typeof method.output>>;
    if (method.methodKind === 'bidi_streaming') {
      const duplex = this.#client.makeBidiStreamRequest(...parts, this.#metadata);
      void writeAll(duplex, method.input, input);
      call = duplex;
    } else {
      const message = create(method.input, await first(input));
      call = this.#client.makeServerStreamRequest(...parts, message, this.#metadata);
    }
    signal?.addEventListener('abort', () => call.cancel(), { once: true });
    return { ...responseTo(method), stream: true, method, message: read(call) };
  };

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

async function writeAll<I extends DescMessage, T>(
  call: ClientDuplexStream<MessageShape<I>, T>,
  schema: I,
  input: AsyncIterable<MessageInitShape<I>>,
): Promise<void> {
  for await (const message of input) {
    if (call.destroyed) return;
    call.write(create(schema, message));
  }
  call.end();
}

async function* read<T>(call: ClientReadableStream<T>): AsyncGenerator<T> {
  try {
    for await (const message of call) yield message;
  } catch (error) {
    throw toConnectError(error);
  } finally {
    call.cancel();
  }
}

function responseTo(method: DescMethod) {
  return { service: method.parent, header: new Headers(), trailer: new Headers() };
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function encoder<I extends DescMessage>(schema: I): (message: MessageShape<I>) => Buffer {
  return (message) => Buffer.from(toBinary(schema, message));
}

function decoder<O extends DescMessage>(schema: O): (bytes: Buffer) => MessageShape<O> {
  return (bytes) => fromBinary(schema, bytes);
}

async function first<I extends DescMessage>(
  input: AsyncIterable<MessageInitShape<I>>,
): Promise<MessageInitShape<I>> {
  for await (const message of input) return message;
  throw new Error('a request is missing');
}

function toConnectError(error: unknown): ConnectError {
  if (!isServiceError(error)) return ConnectError.from(error);
  const [status] = error.metadata.get('grpc-status-details-bin');
  return status instanceof Buffer
    ? statusToError(fromBinary(StatusSchema, status))
    : new ConnectError(error.details, CODES.get(error.code) ?? Code.Unknown);
}

/** The error that a status represents, with its details. */
export function statusToError({ code, message, details }: Status): ConnectError {
  const error = new ConnectError(message, CODES.get(code) ?? Code.Unknown);
  error.details = details.map(({ typeUrl, value }) => ({
    type: typeUrl.slice(typeUrl.lastIndexOf('/') + 1),
    value,
  }));
  return error;
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && 'metadata' in error && 'details' in error;
}
