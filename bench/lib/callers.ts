import type { Metadata } from '@grpc/grpc-js';
import type { Channel } from './channels.ts';
import { authorization, EncodedMessage } from './grpc-client.ts';
import { type Stack, TENANT } from './stack.ts';
import { textAt } from './texts.ts';

const TEXTS = 50;

/** A user with their token. */
export type Caller = {
  readonly metadata: Metadata;
  /** A message to a random channel of the user. */
  message(): EncodedMessage;
};

/** Assigns the users in turn to the calls in flight. */
export async function createCallers(
  stack: Stack,
  channels: readonly Channel[],
  users: readonly bigint[],
  inFlight: number,
  tenantId = TENANT,
): Promise<(index: number) => Caller> {
  const callers = await Promise.all(users.map((userId) => createCaller(stack, channels, userId, tenantId)));
  return (index) => at(callers, (index % inFlight) % callers.length);
}

async function createCaller(
  stack: Stack,
  channels: readonly Channel[],
  userId: bigint,
  tenantId: bigint,
): Promise<Caller> {
  const metadata = authorization(await stack.tokens.sign({ userId, tenantId }));
  const own = channels.filter(({ members }) => members.includes(userId));
  const messages = Array.from({ length: TEXTS }, (_, index) => {
    return new EncodedMessage(at(own, index % own.length).id, textAt(Number(userId) * 31 + index));
  });
  return { metadata, message: () => at(messages, Math.floor(Math.random() * TEXTS)) };
}

function at<T>(items: readonly T[], index: number): T {
  const item = items[index];
  if (item === undefined) throw new RangeError(`no item ${index} of ${items.length}`);
  return item;
}
