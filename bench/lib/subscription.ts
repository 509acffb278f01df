import { create, toBinary } from '@bufbuild/protobuf';
import { EventService, SubscribeRequestSchema } from '#gen/serp/discuss/v1/event_service_pb.ts';
import type { Opening } from '../processes/reader.ts';
import { type Stack, TENANT } from './stack.ts';

export type Edge = 'grpc' | 'web';

const HEADERS: Readonly<Record<Edge, Readonly<Record<string, string>>>> = {
  grpc: { 'content-type': 'application/grpc', te: 'trailers' },
  web: { 'content-type': 'application/connect+proto', 'connect-protocol-version': '1' },
};

/**
 * One stream for each token, of one channel (from now, or after an event) or of all channels of the token's user. The
 * bare server accepts the same requests and ignores their content.
 */
export function subscription(
  edge: Edge,
  address: string,
  channelId: bigint | undefined,
  tokens: readonly string[],
  after?: bigint,
): Opening {
  const request = create(SubscribeRequestSchema, {
    channelIds: channelId === undefined ? [] : [channelId],
    cursors: channelId === undefined || after === undefined ? [] : [{ channelId, seq: after }],
  });
  const message = Buffer.from(toBinary(SubscribeRequestSchema, request));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return {
    address,
    path: `/${EventService.typeName}/Subscribe`,
    headers: HEADERS[edge],
    body: Buffer.concat([head, message]).toString('base64'),
    tokens,
  };
}

export function tokensOf(stack: Stack, userIds: readonly bigint[], tenantId = TENANT): Promise<string[]> {
  return Promise.all(userIds.map((userId) => stack.tokens.sign({ userId, tenantId })));
}
