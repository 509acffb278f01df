import { create, toBinary } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import { Metadata } from '@grpc/grpc-js';
import { StatusSchema } from '#gen/google/rpc/status_pb.ts';
import type { IncomingCall } from '../../rpc/call-context.ts';
import { toDetails } from '../../rpc/error-details.ts';
import { errors, RpcError } from '../../rpc/errors.ts';

/**
 * An error as gRPC status and trailers, with its details in `grpc-status-details-bin`. Texts for users are in English
 * where the request's headers are not at hand.
 */
export function toStatus(error: unknown, requestId: string, header?: IncomingCall['header']) {
  const rpcError = error instanceof RpcError ? error : errors.internal(requestId, error);
  const metadata = new Metadata();
  metadata.set('x-request-id', requestId);
  metadata.set('grpc-status-details-bin', Buffer.from(statusDetails(rpcError, header)));
  return {
    name: rpcError.name,
    code: rpcError.code,
    message: rpcError.message,
    details: rpcError.message,
    metadata,
  };
}

function statusDetails(error: RpcError, header: IncomingCall['header'] | undefined): Uint8Array {
  const { code, message } = error;
  return toBinary(
    StatusSchema,
    create(StatusSchema, {
      code,
      message,
      details: toDetails(error, header?.('accept-language')).map(({ desc, value }) =>
        anyPack(desc, create(desc, value)),
      ),
    }),
  );
}
