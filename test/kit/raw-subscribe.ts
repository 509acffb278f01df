import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { EventService, SubscribeRequestSchema } from '#gen/serp/discuss/v1/event_service_pb.ts';
import type { Edge } from './app.ts';

// Subscribe over plain HTTP, for clients that must not decode what they read or that control their connection.

export const SUBSCRIBE_PATH = `/${EventService.typeName}/Subscribe`;

/** Headers of a Subscribe request, besides the token. */
export const SUBSCRIBE_HEADERS: Readonly<Record<Edge, Readonly<Record<string, string>>>> = {
  grpc: { 'content-type': 'application/grpc', te: 'trailers' },
  web: { 'content-type': 'application/connect+proto', 'connect-protocol-version': '1' },
};

// Flags and length, before each message in gRPC as in Connect.
const HEAD_BYTES = 5;

/** Body of a Subscribe request. */
export function encodeSubscribe(request: MessageInitShape<typeof SubscribeRequestSchema>): Buffer {
  const message = toBinary(SubscribeRequestSchema, create(SubscribeRequestSchema, request));
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** Splits the body of a response into its messages. */
export class EnvelopeReader {
  readonly #take: (message: Buffer, envelope: Buffer) => void;
  #rest: Buffer | undefined;

  /** `take` is called with each message, without and with its prefix; the end of a Connect stream is no message. */
  constructor(take: (message: Buffer, envelope: Buffer) => void) {
    this.#take = take;
  }

  read(chunk: Buffer): void {
    let bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= HEAD_BYTES) {
      const end = HEAD_BYTES + bytes.readUInt32BE(1);
      if (bytes.length < end) break;
      const isMessage = bytes[0] === 0;
      if (isMessage) this.#take(bytes.subarray(HEAD_BYTES, end), bytes.subarray(0, end));
      bytes = bytes.subarray(end);
    }
    this.#rest = bytes.length === 0 ? undefined : bytes;
  }
}
