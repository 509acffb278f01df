import { toBinary } from '@bufbuild/protobuf';
import { Metadata } from '@grpc/grpc-js';
import { StatusSchema } from '#gen/google/rpc/status_pb.ts';
import type { IncomingCall } from '../../rpc/call-context.ts';
import { retryPushback } from '../../rpc/error-details.ts';
import { errors, RpcError } from '../../rpc/errors.ts';
import { toStatusMessage } from '../../rpc/status.ts';
import { asBuffer } from './service-definition.ts';

/**
 * An error as gRPC status and trailers, with its details in `grpc-status-details-bin`. Texts for users are in English
 * where the request's headers are not at hand.
 */
export function toStatus(error: unknown, requestId: string, header?: IncomingCall['header']) {
  const rpcError = error instanceof RpcError ? error : errors.internal(requestId, error);
  const metadata = new Metadata();
  metadata.set('x-request-id', requestId);
  for (const [name, value] of Object.entries(retryPushback(rpcError))) metadata.set(name, value);
  const status = toStatusMessage(rpcError, header?.('accept-language'));
  metadata.set('grpc-status-details-bin', asBuffer(toBinary(StatusSchema, status)));
  return {
    name: rpcError.name,
    code: rpcError.code,
    message: rpcError.message,
    details: rpcError.message,
    metadata,
  };
}
