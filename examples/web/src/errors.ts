import { ApiError } from '@serp/discuss-client/api-error';
import { t } from './i18n.ts';

/** What to show to users: the text that the service has translated for them, if there is one. */
export function textOf(reason: unknown): string {
  const { code, message, details } = ApiError.from(reason);
  if (code === 'unavailable' && details.reason === undefined) return t('reconnecting');
  return details.localizedMessage ?? message;
}
