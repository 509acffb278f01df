import { AddReactionRequestSchema, MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { Pool } from '../../src/db/types.ts';
import { type Benchmark, valueAtLeast } from '../lib/benchmark.ts';
import { createChannels, users } from '../lib/channels.ts';
import { fillChannels } from '../lib/fill.ts';
import { authorization, encode, GrpcClient } from '../lib/grpc-client.ts';
import { compare, type Measurement } from '../lib/measure.ts';
import { type Stack, TENANT } from '../lib/stack.ts';

const USERS = 64;
const MESSAGES = 200;
const PER_RUN = 12;
/** The number that the service uses for calls. */
const CONNECTIONS = 12;
const EMOJI = '👍';

/**
 * Reactions per second when 64 users react to one message at the same time, through the RPC with its event and
 * activity; over optimistic locking: read the JSON, add to it, write it if it is unchanged, otherwise retry.
 */
export const reactionsHot: Benchmark = {
  name: 'reactions_hot',
  subject: 'reaction',
  isHeadline: true,
  goals: { reactions_hot: valueAtLeast(1_000) },
  run,
};

async function run(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  const owner = database.owner(1);
  const userIds = users(USERS);
  const [channel] = await createChannels(owner, [userIds]);
  if (channel === undefined) throw new Error('no channel');
  await fillChannels(owner, [channel], MESSAGES);
  await owner`update messages set reactions = '[]'`;
  await using service = await stack.service(database);
  using client = new GrpcClient((await service.call('addresses')).grpc);
  const tokens = await Promise.all(
    userIds.map(async (userId) => authorization(await stack.tokens.sign({ userId, tenantId: TENANT }))),
  );
  const connections = database.owner(CONNECTIONS);

  let next = 1n;
  const rate = async (react: (messageId: bigint, index: number) => Promise<unknown>) => {
    const began = performance.now();
    for (let turn = 0; turn < PER_RUN; turn++) {
      const messageId = next++;
      await Promise.all(userIds.map((_, index) => react(messageId, index)));
      await requireAllReactions(owner, messageId);
    }
    return (PER_RUN * USERS * 1000) / (performance.now() - began);
  };
  const reactByRpc = () =>
    rate((messageId, index) => {
      const request = encode(AddReactionRequestSchema, { channelId: channel.id, messageId, emoji: EMOJI });
      const metadata = tokens[index];
      if (metadata === undefined) throw new RangeError(`no token at ${index}`);
      return client.call(index, MessageService.method.addReaction, request, metadata);
    });
  const reactBySql = () =>
    rate((messageId, index) => reactOptimistically(connections, messageId, userIds[index] ?? 0n));
  await reactByRpc();
  await reactBySql();
  return [await compare('reactions_hot', 'reactions/s', reactByRpc, reactBySql)];
}

type Reaction = { readonly emoji: string; readonly users: number[] };

async function reactOptimistically(sql: Pool, messageId: bigint, userId: bigint): Promise<void> {
  for (;;) {
    const [row] = await sql<{ reactions: string }[]>`
      select reactions::text from messages where id = ${messageId}
    `;
    const reactions: Reaction[] = JSON.parse(row?.reactions ?? '[]');
    const given = reactions.find(({ emoji }) => emoji === EMOJI);
    if (given === undefined) reactions.push({ emoji: EMOJI, users: [Number(userId)] });
    else given.users.push(Number(userId));
    const { count } = await sql`
      update messages
      set reactions = ${JSON.stringify(reactions)}::text::jsonb
      where id = ${messageId} and reactions = ${row?.reactions ?? '[]'}::text::jsonb
    `;
    if (count === 1) return;
  }
}

async function requireAllReactions(sql: Pool, messageId: bigint): Promise<void> {
  const [row] = await sql<{ users: number }[]>`
    select jsonb_array_length(reactions -> 0 -> 'users') as users from messages where id = ${messageId}
  `;
  if (row?.users !== USERS) throw new Error(`${row?.users} of ${USERS} reactions were kept`);
}
