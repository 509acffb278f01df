import { type DescMessage, type DescMethod, type Message, toBinary } from '@bufbuild/protobuf';
import type { Caller } from '../call.ts';
import { errors } from '../errors.ts';
import type { Interceptor } from '../interceptor.ts';
import type { Signer } from '../signer.ts';

/**
 * Signs the page tokens of responses and verifies those of requests, for the caller, the method and all other arguments
 * but `page_size` (AIP-158: a token is valid for the request that it continues). A token that a client made up, or got
 * for other arguments or as another user, is rejected before the handler reads a key from it.
 */
export function pageTokens(signer: Signer): Interceptor {
  return (method, next) => {
    if (!hasField(method.input, 'page_token') || !hasField(method.output, 'next_page_token')) return next;
    return async (call) => {
      const context = contextOf(method, call.caller, call.request);
      const token: unknown = Reflect.get(call.request, 'pageToken');
      if (typeof token === 'string' && token !== '') {
        const verified = signer.verify(Buffer.from(token, 'base64url'), context);
        if (verified === undefined)
          throw errors.fieldInvalid('page_token', 'is not of a response to the same caller and arguments');
        call.request = withField(call.request, 'pageToken', verified.toString('latin1'));
      }
      const response = await next(call);
      const nextToken: unknown = response === undefined ? undefined : Reflect.get(response, 'nextPageToken');
      if (response === undefined || typeof nextToken !== 'string' || nextToken === '') return response;
      const signed = signer.sign(Buffer.from(nextToken, 'latin1'), context).toString('base64url');
      return { ...response, nextPageToken: signed };
    };
  };
}

function contextOf(method: DescMethod, caller: Caller, request: Message): Buffer {
  const head = `${method.toString()} ${caller.kind} ${caller.tenantId} ${caller.userId}\n`;
  const rest = withField(withField(request, 'pageToken', ''), 'pageSize', 0);
  return Buffer.concat([Buffer.from(head), toBinary(method.input, rest)]);
}

function withField(message: Message, name: string, value: unknown): Message {
  return { ...message, [name]: value };
}

function hasField(message: DescMessage, name: string): boolean {
  return message.fields.some((field) => field.name === name);
}
