import { create, toBinary } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import { Metadata } from '@grpc/grpc-js';
import { StatusSchema } from '#gen/google/rpc/status_pb.ts';
import { errors, RpcError } from '../../rpc/errors.ts';

/** An error as gRPC status and trailers, with its details in `grpc-status-details-bin`. */
export function toStatus(error: unknown, requestId: string) {
  const rpcError = error instanceof RpcError ? error : errors.internal(requestId, error);
  const metadata = new Metadata();
  metadata.set('x-request-id', requestId);
  metadata.set('grpc-status-details-bin', Buffer.from(statusDetails(rpcError)));
  return {
    name: rpcError.name,
    code: rpcError.code,
    message: rpcError.message,
    details: rpcError.message,
    metadata,
  };
}

function statusDetails({ code, message, details }: RpcError): Uint8Array {
  return toBinary(
    StatusSchema,
    create(StatusSchema, {
      code,
      message,
      details: details.map(({ desc, value }) => anyPack(desc, create(desc, value))),
    }),
  );
}
