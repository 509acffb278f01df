import { type DescMethod, getOption } from '@bufbuild/protobuf';
import { max_request_bytes as sizeOption } from '#gen/serp/discuss/v1/options_pb.ts';

const defaultBytes = 65_536;

/** Maximum size of the method's requests: its option `max_request_bytes`, at most the limit of the server. */
export function maxRequestBytes(method: DescMethod, serverLimit: number): number {
  return Math.min(getOption(method, sizeOption) || defaultBytes, serverLimit);
}
