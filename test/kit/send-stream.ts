import { randomUUID } from 'node:crypto';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type ServiceError,
  status as Status,
  type StatusObject,
} from '@grpc/grpc-js';
import { ErrorInfoSchema } from '#gen/google/rpc/error_details_pb.ts';
import { StatusSchema } from '#gen/google/rpc/status_pb.ts';
import {
  type SendMessageRequestSchema,
  SendMessagesRequestSchema,
  SendMessagesResponseSchema,
  type SendOutcome,
} from '#gen/serp/discuss/v1/message_service_pb.ts';
import { until } from './until.ts';

type Request = MessageInitShape<typeof SendMessageRequestSchema>;

/** A client of SendMessages on a connection of its own. It reads outcomes unless it is paused. */
export class SendStream implements Disposable {
  readonly outcomes: SendOutcome[] = [];
  /** Requests that have left the client, or its buffer. */
  flushed = 0;
  readonly #client: Client;
  readonly #call: ClientDuplexStream<Buffer, Buffer>;
  #status: StatusObject | ServiceError | undefined;

  constructor(address: string, headers: Readonly<Record<string, string>>, timeoutMs?: number) {
    this.#client = new Client(address, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_send_message_length': -1,
    });
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    this.#call = this.#client.makeBidiStreamRequest(
      '/serp.discuss.v1.MessageService/SendMessages',
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
      metadata,
      timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs },
    );
    this.#call.on('data', (bytes: Buffer) => {
      const { outcome } = fromBinary(SendMessagesResponseSchema, bytes);
      if (outcome !== undefined) this.outcomes.push(outcome);
    });
    this.#call.on('status', (ended: StatusObject) => {
      this.#status = ended;
    });
    this.#call.on('error', () => {});
  }

  /** Returns the request id. */
  send(request: Request): string {
    const requestId = request.requestId ?? randomUUID();
    const message = create(SendMessagesRequestSchema, { request: { ...request, requestId } });
    this.sendBytes(toBinary(SendMessagesRequestSchema, message));
    return requestId;
  }

  sendBytes(bytes: Uint8Array): void {
    this.#call.write(Buffer.from(bytes), () => {
      this.flushed += 1;
    });
  }

  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }

  /** Sends no more requests. */
  end(): void {
    this.#call.end();
  }

  async untilOutcomes(count: number): Promise<readonly SendOutcome[]> {
    await until(() => this.outcomes.length >= count, `${count} outcomes`, 20_000);
    return this.outcomes;
  }

  /** Code and reason with which the stream has ended. */
  async untilEnded(): Promise<string> {
    await until(() => this.#status !== undefined, 'the end of the stream', 20_000);
    const { code = 0, metadata } = this.#status ?? {};
    const [details] = metadata?.get('grpc-status-details-bin') ?? [];
    return [Status[code], ...(details instanceof Buffer ? reasonsIn(details) : [])].join(' ');
  }

  [Symbol.dispose](): void {
    this.#call.cancel();
    this.#client.close();
  }
}

/** Reason of the error; `OK`, or `repeated`, without one. */
export function resultOf({ outcome }: SendOutcome): string {
  if (outcome.case === 'error') return reasonsOf(outcome.value)[0] ?? 'without a reason';
  return outcome.value?.repeatedRequest === true ? 'repeated' : 'OK';
}

function reasonsIn(bytes: Buffer): string[] {
  return reasonsOf(fromBinary(StatusSchema, bytes));
}

function reasonsOf({ details }: { readonly details: readonly { typeUrl: string; value: Uint8Array }[] }) {
  return details
    .filter(({ typeUrl }) => typeUrl.endsWith(ErrorInfoSchema.typeName))
    .map(({ value }) => fromBinary(ErrorInfoSchema, value).reason);
}
