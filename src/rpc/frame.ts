import { type DescMessage, fromBinary, toJsonString } from '@bufbuild/protobuf';

/**
 * One message, encoded once for all streams that it is written to.
 * `binary` is the protobuf encoding; the enveloped forms are created on first use and kept.
 */
export class Frame {
  readonly binary: Buffer;
  readonly #schema: DescMessage;
  #enveloped: Buffer | undefined;
  #envelopedJson: Buffer | 'unencodable' | undefined;

  constructor(schema: DescMessage, binary: Buffer) {
    this.#schema = schema;
    this.binary = binary;
  }

  /** Protobuf bytes after the five-byte prefix that gRPC, gRPC-Web and Connect streams share. */
  get enveloped(): Buffer {
    this.#enveloped ??= envelope(this.binary);
    return this.#enveloped;
  }

  /**
   * ProtoJSON after the same prefix, for clients of the JSON codec; undefined for a message that JSON cannot represent.
   * Requests with such values are rejected, so that only data from before a rule was added can be one.
   */
  get envelopedJson(): Buffer | undefined {
    this.#envelopedJson ??= this.#encodeJson();
    return this.#envelopedJson === 'unencodable' ? undefined : this.#envelopedJson;
  }

  #encodeJson(): Buffer | 'unencodable' {
    try {
      return envelope(Buffer.from(toJsonString(this.#schema, fromBinary(this.#schema, this.binary))));
    } catch {
      return 'unencodable';
    }
  }
}

/** A message with the prefix it has in streams: a byte of flags and its length. */
export function envelope(message: Uint8Array, flags = 0): Buffer {
  const framed = Buffer.allocUnsafe(5 + message.length);
  framed[0] = flags;
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, 5);
  return framed;
}
