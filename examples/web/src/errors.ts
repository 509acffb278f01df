import { Code, ConnectError } from '@connectrpc/connect';
import { LocalizedMessageSchema } from '@serp/discuss-client/gen/google/rpc/error_details_pb';
import { t } from './i18n.ts';

/** What to show to users: the text that the service has translated for them, if there is one. */
export function textOf(reason: unknown): string {
  const error = ConnectError.from(reason);
  // The service did not respond, and browsers do not state why.
  if (error.code === Code.Unknown && error.cause instanceof TypeError) return t('reconnecting');
  return error.findDetails(LocalizedMessageSchema)[0]?.message ?? error.rawMessage;
}
