import type { Edge } from '../../test/kit/app.ts';
import { encodeSubscribe, SUBSCRIBE_HEADERS, SUBSCRIBE_PATH } from '../../test/kit/raw-subscribe.ts';
import type { Opening } from '../processes/reader.ts';
import { type Stack, TENANT } from './stack.ts';

export type { Edge };

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
  const body = encodeSubscribe({
    channelIds: channelId === undefined ? [] : [channelId],
    cursors: channelId === undefined || after === undefined ? [] : [{ channelId, seq: after }],
  });
  return {
    address,
    path: SUBSCRIBE_PATH,
    headers: SUBSCRIBE_HEADERS[edge],
    body: body.toString('base64'),
    tokens,
  };
}

export function tokensOf(stack: Stack, userIds: readonly bigint[], tenantId = TENANT): Promise<string[]> {
  return Promise.all(userIds.map((userId) => stack.tokens.sign({ userId, tenantId })));
}
