import type { Pool } from '../../src/db/types.ts';
import { shardOf } from '../../src/message/send-queue.ts';
import { sendMessages } from '../../src/message/send-sql.ts';
import { type Benchmark, ratioAtLeast } from '../lib/benchmark.ts';
import { type Channel, createChannels, users } from '../lib/channels.ts';
import { callsPerSecond } from '../lib/load.ts';
import { compare, type Measurement } from '../lib/measure.ts';
import { pick, pickBatch, toSendItems } from '../lib/send-items.ts';
import { type Stack, TENANT } from '../lib/stack.ts';
import { textAt } from '../lib/texts.ts';

const CHANNELS = 50;
const SENDERS = 10;
const BATCH = 64;
const BATCH_CONNECTIONS = 2;
const DOCUMENT_CONNECTIONS = 8;
const WARM_UP_MS = 1_000;
const RUN_MS = 2_500;

export const sendVsDocument10 = toBenchmark(10, 5);
export const sendVsDocument100 = toBenchmark(100, 20);
export const sendVsDocument1000 = toBenchmark(1000, 200);

/**
 * Messages per second through our statement, in batches as SendQueue makes them under load, over messages per second
 * through the tables and row triggers of the customer's document, one transaction each. Neither side uses an edge; both
 * have the same members, senders and texts. The document's side omits work that a service would add to it: the check
 * of the sender's membership, request ids, the event log.
 */
function toBenchmark(members: number, goal: number): Benchmark {
  const name = `send_vs_document_${members}`;
  return {
    name,
    subject: 'send',
    isHeadline: members === 100,
    goals: { [name]: ratioAtLeast(goal) },
    run: (stack) => run(stack, name, members),
  };
}

async function run(stack: Stack, name: string, members: number): Promise<Measurement[]> {
  await using ours = await stack.database();
  await using document = await stack.database('empty');
  const wanted = Array.from({ length: CHANNELS }, (_, channel) => users(members, 1 + channel * SENDERS));
  const channels = await createChannels(ours.owner(1), wanted);
  const documentOwner = document.owner(DOCUMENT_CONNECTIONS);
  await documentOwner.file(new URL('../lib/document.sql', import.meta.url).pathname).simple();
  const documentChannels = await createChannels(documentOwner, wanted);

  const sendOurs = createBatchSender(ours.service(BATCH_CONNECTIONS), channels);
  const sendDocument = createRowSender(documentOwner, documentChannels);
  const value = async (ms: number) => BATCH * (await callsPerSecond(BATCH_CONNECTIONS, ms, sendOurs));
  const baseline = (ms: number) => callsPerSecond(DOCUMENT_CONNECTIONS, ms, sendDocument);
  await value(WARM_UP_MS);
  await baseline(WARM_UP_MS);
  return [
    await compare(
      name,
      'messages/s',
      () => value(RUN_MS),
      () => baseline(RUN_MS),
    ),
  ];
}

function createBatchSender(sql: Pool, channels: readonly Channel[]): (shard: number) => Promise<void> {
  const items = toSendItems(channels, SENDERS);
  const shards = Map.groupBy(items, ({ channelId }) => shardOf(channelId, BATCH_CONNECTIONS));
  return async (shard) => {
    const ours = shards.get(shard) ?? items;
    const rows = await sendMessages(sql, pickBatch(ours, BATCH), true);
    for (const { errorReason } of rows)
      if (errorReason !== null) throw new Error(`send_messages rejected a message: ${errorReason}`);
  };
}

function createRowSender(sql: Pool, channels: readonly Channel[]): () => Promise<void> {
  const messages = channels.flatMap(({ id, members }, number) =>
    members.slice(0, SENDERS).map((userId, place) => ({ id, userId, content: textAt(number + place) })),
  );
  return async () => {
    const { id, userId, content } = pick(messages);
    const now = Date.now();
    await sql`
      insert into messages (channel_id, sender_id, tenant_id, content, created_at, updated_at)
      values (${id}, ${userId}, ${TENANT}, ${content}, ${now}, ${now})
    `;
  };
}
