import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { Code } from '#gen/google/rpc/code_pb.ts';
import {
  ErrorInfoSchema,
  LocalizedMessageSchema,
  PreconditionFailureSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from '#gen/google/rpc/error_details_pb.ts';
import { type Language, reasons } from './error-reasons.ts';
import { detail, type ErrorDetail, type RpcError } from './errors.ts';

const DOMAIN = 'discuss.serp';

/**
 * The details of an error for a client (AIP-193): what programs need by reason, and the text for users in the preferred
 * one of the client's languages.
 */
export function toDetails(error: RpcError, acceptLanguage: string | undefined): ErrorDetail[] {
  const { reasonName: reason, metadata } = error;
  return [
    detail(ErrorInfoSchema, { reason, domain: DOMAIN, metadata }),
    ...toRetryInfo(metadata),
    ...toResourceInfo(error),
    ...error.details,
    detail(LocalizedMessageSchema, toLocalizedMessage(error, languageOf(acceptLanguage))),
  ];
}

// Codes that clients retry by their configuration.
const RETRIED: readonly Code[] = [Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED, Code.ABORTED];

/**
 * The trailer by which gRPC libraries retry a call (gRFC A6): after the delay, or not at all where a repeated call would
 * get the same error.
 */
export function retryPushback({ code, metadata }: RpcError): Record<string, string> {
  if (!RETRIED.includes(code)) return {};
  return { 'grpc-retry-pushback-ms': metadata['retry_delay_ms'] ?? '-1' };
}

function toRetryInfo({ retry_delay_ms: delayMs }: RpcError['metadata']): ErrorDetail[] {
  if (delayMs === undefined) return [];
  return [detail(RetryInfoSchema, { retryDelay: durationFromMs(Number(delayMs)) })];
}

/** What was not found, or whose state does not permit the call. */
function toResourceInfo({ code, reasonName, message, metadata }: RpcError): ErrorDetail[] {
  const { type, name } = resourceOf(reasonName, metadata);
  if (code === Code.NOT_FOUND)
    return [detail(ResourceInfoSchema, { resourceType: type, resourceName: name, description: message })];
  if (code !== Code.FAILED_PRECONDITION) return [];
  const violations = [{ type: reasonName, subject: name, description: message }];
  return [detail(PreconditionFailureSchema, { violations })];
}

/** The most specific resource that the metadata of a reason names. */
function resourceOf(reason: RpcError['reasonName'], metadata: RpcError['metadata']) {
  const keys: readonly string[] = reasons[reason].metadata;
  const channel = metadata['channel_id'] === undefined ? '' : `channels/${metadata['channel_id']}`;
  if (keys.includes('attachment_id'))
    return {
      type: 'serp.discuss.v1.Attachment',
      name: under(channel, 'attachments', metadata['attachment_id']),
    };
  if (keys.includes('message_id'))
    return { type: 'serp.discuss.v1.Message', name: under(channel, 'messages', metadata['message_id']) };
  if (keys.includes('user_ids'))
    return { type: 'serp.discuss.v1.User', name: `users/${metadata['user_ids'] ?? ''}` };
  if (keys.includes('user_id'))
    return { type: 'serp.discuss.v1.Member', name: under(channel, 'members', metadata['user_id']) };
  return { type: 'serp.discuss.v1.Channel', name: channel };
}

function under(channel: string, collection: string, id: string | undefined): string {
  return channel === '' || id === undefined ? channel : `${channel}/${collection}/${id}`;
}

function toLocalizedMessage({ reasonName, metadata }: RpcError, locale: Language) {
  const message = reasons[reasonName][locale].replaceAll(/\{(\w+)\}/g, (_, key) => metadata[key] ?? '');
  return { locale, message };
}

/** The language with the highest weight in the header `accept-language` (RFC 9110) that errors have; English if none. */
function languageOf(acceptLanguage = ''): Language {
  let preferred: Language = 'en';
  let highest = 0;
  for (const range of acceptLanguage.split(',')) {
    const match = /^\s*(en|vi)(?:-[\w-]+)?\s*(?:;\s*q=(\d(?:\.\d{1,3})?)\s*)?$/i.exec(range);
    const weight = match === null ? 0 : Number(match[2] ?? 1);
    if (weight <= highest) continue;
    preferred = match?.[1]?.toLowerCase() === 'vi' ? 'vi' : 'en';
    highest = weight;
  }
  return preferred;
}
