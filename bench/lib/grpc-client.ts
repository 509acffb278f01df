import { randomUUID } from 'node:crypto';
import {
  create,
  type DescMessage,
  type DescMethod,
  type MessageInitShape,
  toBinary,
} from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { Client, type ClientDuplexStream, credentials, Metadata } from '@grpc/grpc-js';
import { Health } from '#gen/grpc/health/v1/health_pb.ts';
import {
  MessageService,
  SendMessageRequestSchema,
  SendMessagesRequestSchema,
} from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { Caller } from './callers.ts';

const CONNECTIONS = 4;
const NO_REQUEST_ID = '00000000-0000-4000-8000-000000000000';

/** A client with little overhead: requests are encoded in advance, responses are not decoded. */
export class GrpcClient implements Disposable {
  readonly #clients: readonly Client[];

  constructor(address: string) {
    // Without this option all clients share one connection.
    const options = { 'grpc.use_local_subchannel_pool': 1 };
    this.#clients = Array.from(
      { length: CONNECTIONS },
      () => new Client(address, credentials.createInsecure(), options),
    );
  }

  /** Any unary call; request and response are encoded. */
  async call(index: number, method: DescMethod, request: Buffer, metadata: Metadata): Promise<Buffer> {
    return this.#call(index, `/${method.parent.typeName}/${method.name}`, request, metadata);
  }

  /** A health check, as the no-op call. */
  check(index: number, { metadata }: Caller): Promise<unknown> {
    return this.#call(index, `/${Health.typeName}/Check`, Buffer.alloc(0), metadata);
  }

  /** Resolves when the message is committed. */
  send(index: number, { message, metadata }: Caller): Promise<unknown> {
    return this.#call(
      index,
      `/${MessageService.typeName}/SendMessage`,
      message().withNewRequestId(),
      metadata,
    );
  }

  /** A stream of SendMessages on one of the connections. */
  openSendStream(index: number, { metadata }: Caller): ClientDuplexStream<Buffer, Buffer> {
    const client = this.#clients[index % CONNECTIONS];
    if (client === undefined) throw new RangeError('no connection');
    return client.makeBidiStreamRequest(`/${MessageService.typeName}/SendMessages`, same, same, metadata);
  }

  [Symbol.dispose](): void {
    for (const client of this.#clients) client.close();
  }

  #call(index: number, path: string, request: Buffer, metadata: Metadata): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#clients[index % CONNECTIONS]?.makeUnaryRequest(
        path,
        same,
        same,
        request,
        metadata,
        (error, response) => {
          if (error === null) resolve(response ?? Buffer.alloc(0));
          else reject(error);
        },
      );
    });
  }
}

/** A SendMessage request, encoded except for its `request_id`. */
export class EncodedMessage {
  readonly #bytes: Buffer;
  readonly #requestIdAt: number;

  constructor(channelId: bigint, content: string) {
    const request = create(SendMessageRequestSchema, { channelId, content, requestId: NO_REQUEST_ID });
    this.#bytes = Buffer.from(toBinary(SendMessageRequestSchema, request));
    this.#requestIdAt = this.#bytes.indexOf(NO_REQUEST_ID);
  }

  /** As a request of SendMessages. */
  inStreamWithNewRequestId(): Buffer {
    const { request } = SendMessagesRequestSchema.field;
    const message = new BinaryWriter().tag(request.number, WireType.LengthDelimited);
    return Buffer.from(message.bytes(this.withNewRequestId()).finish());
  }

  withNewRequestId(): Buffer {
    const bytes = Buffer.from(this.#bytes);
    bytes.write(randomUUID(), this.#requestIdAt, 'latin1');
    return bytes;
  }
}

export function encode<S extends DescMessage>(schema: S, init: MessageInitShape<S>): Buffer {
  return Buffer.from(toBinary(schema, create(schema, init)));
}

export function authorization(token: string): Metadata {
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}

function same(bytes: Buffer): Buffer {
  return bytes;
}
