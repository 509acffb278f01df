import { statfs } from 'node:fs/promises';
import { ChannelService, ListChannelsRequestSchema } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { ListMessagesRequestSchema, MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { SearchMessagesRequestSchema, SearchService } from '#gen/serp/discuss/v1/search_service_pb.ts';
import { DEV_FOLDER } from '../../scripts/lib/dev-state.ts';
import type { Pool } from '../../src/db/types.ts';
import { type Benchmark, ratioAtMost } from '../lib/benchmark.ts';
import { authorization, EncodedMessage, encode, GrpcClient } from '../lib/grpc-client.ts';
import { type Measurement, p50, toMeasurement } from '../lib/measure.ts';
import { type Stack, TENANT } from '../lib/stack.ts';
import { textAt } from '../lib/texts.ts';
import { createTenant, fillTo } from './fill.ts';
import { printSizes } from './sizes.ts';
import { CHANNELS, ROUND } from './slots.ts';

const CALLS = 100;
const FILL_MS = 1_500_000;
// 20,000,000 messages take 23 GB on the disk of the project, and their WAL up to 8.
const MAX_BYTES = 40_000_000_000;
const MIN_FREE_BYTES = 10_000_000_000;

/** p50 of reads, searches and sends at 20,000,000 messages over those at 1,000,000, and bytes per row. */
export const yearOfMessages = growth('year_of_messages', 1_000_000, 20_000_000);

/** The same at the document's day of 1,000,000 messages over 100,000, in some minutes. */
export const dayOfMessages = growth('day_of_messages', 100_000, 1_000_000);

function growth(name: string, small: number, large: number): Benchmark {
  const figures = ['history', 'send', 'search', 'channels'].map((part) => `${name}_${part}`);
  return {
    name,
    subject: 'growth',
    isHeadline: false,
    goals: Object.fromEntries(figures.map((figure) => [figure, ratioAtMost(1.5)])),
    run: (stack) => measure(stack, name, small, large),
  };
}

async function measure(stack: Stack, name: string, small: number, large: number): Promise<Measurement[]> {
  await using database = await stack.database();
  const sql = database.owner(2);
  const end = performance.now() + FILL_MS;
  const isFull = async () =>
    performance.now() > end || (await databaseBytes(sql)) > MAX_BYTES || (await freeBytes()) < MIN_FREE_BYTES;
  await createTenant(sql);
  await fillTo(sql, 0, small, isFull);
  await using service = await stack.service(database, {
    CACHE_MESSAGES: 'false',
    SEARCH_INDEX_INTERVAL_MS: '0',
  });
  using client = new GrpcClient((await service.call('addresses')).grpc);
  const metadata = authorization(await stack.tokens.sign({ userId: 1n, tenantId: TENANT }));
  const before = await timesOf(client, metadata);
  // Those that were sent have taken the next ids and positions.
  const filled = await fillTo(sql, small + ROUND, large, isFull);
  if (filled < large) console.error(`  stopped at ${filled} messages: time or disk is used up`);
  const after = await timesOf(client, metadata);
  await printSizes(sql);
  return Object.entries(after).map(([part, value]) =>
    toMeasurement(`${name}_${part}`, 'ms', [value], [before[part] ?? Number.NaN]),
  );
}

async function databaseBytes(sql: Pool): Promise<number> {
  const [row] = await sql<{ bytes: bigint }[]>`select pg_database_size(current_database()) as bytes`;
  return Number(row?.bytes ?? 0n);
}

async function freeBytes(): Promise<number> {
  const { bavail, bsize } = await statfs(DEV_FOLDER);
  return bavail * bsize;
}

type Metadata = ReturnType<typeof authorization>;

/** p50 of calls to channels in turn. The first calls fill caches and plans. */
async function timesOf(client: GrpcClient, metadata: Metadata): Promise<Record<string, number>> {
  const channelAt = (index: number) => BigInt(1 + ((index * 37) % CHANNELS));
  const history = (index: number) =>
    client.call(
      0,
      MessageService.method.listMessages,
      encode(ListMessagesRequestSchema, { channelId: channelAt(index), pageSize: 50 }),
      metadata,
    );
  const channels = () =>
    client.call(
      0,
      ChannelService.method.listChannels,
      encode(ListChannelsRequestSchema, { pageSize: 50 }),
      metadata,
    );
  const search = (index: number) =>
    client.call(
      0,
      SearchService.method.searchMessages,
      encode(SearchMessagesRequestSchema, {
        query: textAt(index % 20)
          .split(' ')
          .slice(0, 2)
          .join(' '),
      }),
      metadata,
    );
  const send = (index: number) =>
    client.send(0, { metadata, message: () => new EncodedMessage(channelAt(index), textAt(index)) });
  const times: Record<string, number> = {};
  for (const [part, call] of Object.entries({ history, send, search, channels })) {
    await p50(CALLS, call);
    times[part] = await p50(CALLS, call);
    console.error(`  ${part}: ${times[part].toFixed(1)} ms`);
  }
  return times;
}
