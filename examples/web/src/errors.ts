import { ConnectError } from '@connectrpc/connect';
import { LocalizedMessageSchema } from '@serp/discuss-client/gen/google/rpc/error_details_pb';

/** What to show to users: the text that the service has translated for them, if there is one. */
export function textOf(reason: unknown): string {
  const error = ConnectError.from(reason);
  return error.findDetails(LocalizedMessageSchema)[0]?.message ?? error.rawMessage;
}
