import {
  create,
  type DescMessage,
  type DescMethod,
  type MessageInitShape,
  toBinary,
} from '@bufbuild/protobuf';

/** A response of which the handler has the encoded bytes, so that it is not encoded a second time. */
export class EncodedResponse<Desc extends DescMessage = DescMessage> {
  /** For other codecs. */
  readonly message: MessageInitShape<Desc>;
  readonly binary: Uint8Array;

  constructor(message: MessageInitShape<Desc>, binary: Uint8Array) {
    this.message = message;
    this.binary = binary;
  }
}

export function encodeResponse(
  { output }: DescMethod,
  response: MessageInitShape<DescMessage> | EncodedResponse | undefined,
): Uint8Array {
  if (response instanceof EncodedResponse) return response.binary;
  return toBinary(output, create(output, response));
}
