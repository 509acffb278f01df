import type { Pool } from '../../src/db/types.ts';
import { type SendItem, sendMessages } from '../../src/message/send-sql.ts';
import { type Benchmark, ratioAtMost } from '../lib/benchmark.ts';
import { createChannels, users } from '../lib/channels.ts';
import { compare, type Measurement } from '../lib/measure.ts';
import { pickBatch, toSendItems } from '../lib/send-items.ts';
import type { BenchDatabase, Stack } from '../lib/stack.ts';
import { backendCpu } from '../lib/store-usage.ts';

const SIZES = [1, 13, 64];
const CHANNELS = 200;
const MEMBERS = 10;
const WARM_UP_MS = 1_000;
const RUN_MS = 1_500;

type Send = (sql: Pool, items: readonly SendItem[]) => PromiseLike<{ readonly errorReason: string | null }[]>;

/**
 * CPU time of PostgreSQL per message, over that of the statement and the schema before they were optimized: messages
 * without mentions, parent or files, in batches of these sizes on one connection.
 */
export const postgresSend: Benchmark = {
  name: 'postgres_send_vs_baseline',
  subject: 'send',
  isHeadline: true,
  goals: {
    postgres_send_vs_baseline_1: ratioAtMost(0.55),
    postgres_send_vs_baseline_13: ratioAtMost(0.55),
    postgres_send_vs_baseline_64: ratioAtMost(0.55),
  },
  run,
};

async function run(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  await using baseline = await stack.database();
  await baseline
    .owner(1)
    .file(new URL('../baseline/send-messages.sql', import.meta.url).pathname)
    .simple();
  const ours = await createSender(database, (sql, items) => sendMessages(sql, items, false));
  const theirs = await createSender(baseline, sendBaseline);
  const measurements: Measurement[] = [];
  for (const size of SIZES) {
    await ours(size, WARM_UP_MS);
    await theirs(size, WARM_UP_MS);
    measurements.push(
      await compare(
        `postgres_send_vs_baseline_${size}`,
        'µs',
        () => ours(size, RUN_MS),
        () => theirs(size, RUN_MS),
      ),
    );
  }
  return measurements;
}

/** Sends batches one after another for some time; returns the CPU time per message. */
async function createSender(
  database: BenchDatabase,
  send: Send,
): Promise<(size: number, ms: number) => Promise<number>> {
  const members = Array.from({ length: CHANNELS }, (_, channel) => users(MEMBERS, 1 + channel * MEMBERS));
  const items = toSendItems(await createChannels(database.owner(1), members), MEMBERS);
  const sql = database.service(1);
  return async (size, ms) => {
    const before = await backendCpu(sql);
    const end = performance.now() + ms;
    let sent = 0;
    while (performance.now() < end) {
      const rows = await send(sql, pickBatch(items, size));
      for (const { errorReason } of rows) if (errorReason !== null) throw new Error(errorReason);
      sent += rows.length;
    }
    return ((await backendCpu(sql)) - before) / sent;
  };
}

function sendBaseline(sql: Pool, items: readonly SendItem[]) {
  const numbered = JSON.stringify(
    items.map((item, index) => ({
      ...item,
      item: index,
      tenantId: `${item.tenantId}`,
      userId: `${item.userId}`,
      channelId: `${item.channelId}`,
      parentId: null,
      payloadHash: item.payloadHash.toString('base64'),
      payload: item.payload.toString('base64'),
    })),
  );
  return sql<{ errorReason: string | null }[]>`
    select item, error_reason, message_id, position, created_at, seq, payload, activities
    from send_messages(${numbered}::text::json)
  `;
}
