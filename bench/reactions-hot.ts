import { AddReactionRequestSchema, MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { Pool } from '../src/db/database.ts';
import { createChannels, users } from './lib/channels.ts';
import { fillChannels } from './lib/fill.ts';
import { authorization, encode, GrpcClient } from './lib/grpc-client.ts';
import { compare, type Measurement } from './lib/measure.ts';
import { type Stack, TENANT } from './lib/stack.ts';

const USERS = 200;
const MESSAGES = 60;
const PER_RUN = 5;
/** As many as the service has for calls. */
const CONNECTIONS = 12;
const EMOJI = '👍';

/**
 * Reactions per second where 200 users react to one message at the same moment, through the RPC with its log and
 * activity, over the simple way: read the JSON, add to it, and write it if it is still what was read, else try again.
 */
export async function reactionsHot(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  const owner = database.owner(1);
  const people = users(USERS);
  const [channel] = await createChannels(owner, [people]);
  if (channel === undefined) throw new Error('no channel');
  await fillChannels(owner, [channel], MESSAGES);
  await owner`update messages set reactions = '[]'`;
  await using service = await stack.service(database);
  using client = new GrpcClient((await service.ask('addresses')).grpc);
  const tokens = await Promise.all(
    people.map(async (userId) => authorization(await stack.tokens.sign({ userId, tenantId: TENANT }))),
  );
  const connections = database.owner(CONNECTIONS);

  let next = 1n;
  const rate = async (react: (messageId: bigint, index: number) => Promise<unknown>) => {
    const began = performance.now();
    for (let turn = 0; turn < PER_RUN; turn++) {
      const messageId = next++;
      await Promise.all(people.map((_, index) => react(messageId, index)));
      await requireAll(owner, messageId);
    }
    return (PER_RUN * USERS * 1000) / (performance.now() - began);
  };
  const ours = () =>
    rate((messageId, index) => {
      const request = encode(AddReactionRequestSchema, { channelId: channel.id, messageId, emoji: EMOJI });
      const metadata = tokens[index];
      if (metadata === undefined) throw new RangeError('nobody');
      return client.call(index, MessageService.method.addReaction, request, metadata);
    });
  const theirs = () => rate((messageId, index) => reactSimply(connections, messageId, people[index] ?? 0n));
  await ours();
  await theirs();
  return [await compare('reactions_hot', 'reactions/s', ours, theirs)];
}

type Reaction = { readonly emoji: string; readonly users: number[] };

async function reactSimply(sql: Pool, messageId: bigint, userId: bigint): Promise<void> {
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

async function requireAll(sql: Pool, messageId: bigint): Promise<void> {
  const [row] = await sql<{ users: number }[]>`
    select jsonb_array_length(reactions -> 0 -> 'users') as users from messages where id = ${messageId}
  `;
  if (row?.users !== USERS) throw new Error(`${row?.users} of ${USERS} reactions were kept`);
}
