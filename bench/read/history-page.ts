import type { PendingQuery, Row } from 'postgres';
import { ListMessagesRequestSchema, MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type Benchmark, ratioAtMost } from '../lib/benchmark.ts';
import { createChannels, users } from '../lib/channels.ts';
import { dropSearchIndex, fillChannels } from '../lib/fill.ts';
import { authorization, encode, GrpcClient } from '../lib/grpc-client.ts';
import { type Measurement, p50, RUNS, toMeasurement } from '../lib/measure.ts';
import { type Stack, TENANT } from '../lib/stack.ts';

const MESSAGES = 200_000;
const MEMBERS = 10;
const PAGE = 50;
const CALLS = 150;

/**
 * Time of a page of a channel of 200,000 messages through the RPC, over the time of the bare statement on one connection
 * without row-level security: the newest page with the cache and without it, and pages at other positions.
 */
export const historyPage: Benchmark = {
  name: 'history_page',
  subject: 'read',
  isHeadline: true,
  goals: {
    history_page_newest: ratioAtMost(2.5),
    history_page_newest_uncached: ratioAtMost(2.5),
    history_page_middle: ratioAtMost(2.5),
  },
  run,
};

async function run(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  const owner = database.owner(1);
  const [channel] = await createChannels(owner, [users(MEMBERS)]);
  if (channel === undefined) throw new Error('no channel');
  const channelId = channel.id;
  await dropSearchIndex(owner);
  await fillChannels(owner, [channel], MESSAGES);
  await using service = await stack.service(database);
  await using plain = await stack.service(database, { CACHE_MESSAGES: 'false', INSTANCE_ID: 'plain' });
  using client = new GrpcClient((await service.call('addresses')).grpc);
  using plainClient = new GrpcClient((await plain.call('addresses')).grpc);
  const metadata = authorization(await stack.tokens.sign({ userId: 1n, tenantId: TENANT }));
  const list = (from: GrpcClient, below?: bigint) => {
    const position = { case: 'beforeMessageId', value: below ?? 0n } as const;
    const page = { channelId, pageSize: PAGE, ...(below === undefined ? {} : { position }) };
    const request = encode(ListMessagesRequestSchema, page);
    return from.call(0, MessageService.method.listMessages, request, metadata);
  };
  const bare = (below: bigint): PendingQuery<Row[]> => owner`
    select * from messages where channel_id = ${channelId} and id < ${below} order by id desc limit ${PAGE}
  `;
  const positionAt = (index: number) => BigInt(PAGE + ((index * 7919) % (MESSAGES - PAGE)));
  const cases = [
    { name: 'newest', listByRpc: () => list(client), listBySql: () => bare(BigInt(MESSAGES) * 2n) },
    {
      name: 'newest_uncached',
      listByRpc: () => list(plainClient),
      listBySql: () => bare(BigInt(MESSAGES) * 2n),
    },
    {
      name: 'middle',
      listByRpc: (index: number) => list(client, positionAt(index)),
      listBySql: (index: number) => bare(positionAt(index)),
    },
  ];
  const measurements: Measurement[] = [];
  for (const { name, listByRpc, listBySql } of cases) {
    await p50(CALLS, listByRpc);
    await p50(CALLS, listBySql);
    const [values, baselines]: [number[], number[]] = [[], []];
    for (let run = 0; run < RUNS; run++) {
      values.push(await p50(CALLS, listByRpc));
      baselines.push(await p50(CALLS, listBySql));
    }
    measurements.push(toMeasurement(`history_page_${name}`, 'ms', values, baselines));
  }
  return measurements;
}
