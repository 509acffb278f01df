import { create, createRegistry } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import { file_google_rpc_error_details } from '#gen/google/rpc/error_details_pb.ts';
import { type Status, StatusSchema } from '#gen/google/rpc/status_pb.ts';
import { toDetails } from './error-details.ts';
import type { RpcError } from './errors.ts';

/** The types that details of errors have, which JSON names. */
export const detailTypes = createRegistry(file_google_rpc_error_details);

/** An error as a message, with its details for a client. */
export function toStatusMessage(error: RpcError, acceptLanguage: string | undefined): Status {
  const { code, message } = error;
  return create(StatusSchema, {
    code,
    message,
    details: toDetails(error, acceptLanguage).map(({ desc, value }) => anyPack(desc, create(desc, value))),
  });
}
