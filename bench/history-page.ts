import type { PendingQuery, Row } from 'postgres';
import { ListMessagesRequestSchema, MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { createChannels, users } from './lib/channels.ts';
import { fillChannels } from './lib/fill.ts';
import { authorization, encode, GrpcClient } from './lib/grpc-client.ts';
import { type Measurement, p50, RUNS, toMeasurement } from './lib/measure.ts';
import { type Stack, TENANT } from './lib/stack.ts';

const MESSAGES = 200_000;
const MEMBERS = 10;
const PAGE = 50;
const CALLS = 300;

/**
 * Time of a page of a long channel through the RPC, over that of the bare statement for it on one connection, past
 * row-level security: the newest page, from the cache and without one, and pages anywhere in between.
 */
export async function historyPage(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  const owner = database.owner(1);
  const [channel] = await createChannels(owner, [users(MEMBERS)]);
  if (channel === undefined) throw new Error('no channel');
  const channelId = channel.id;
  // Built word by word it would take minutes, and no page reads it.
  await owner`drop index idx_messages_search`;
  await fillChannels(owner, [channel], MESSAGES);
  await using service = await stack.service(database);
  await using plain = await stack.service(database, { CACHE_MESSAGES: 'false', INSTANCE_ID: 'plain' });
  using client = new GrpcClient((await service.ask('addresses')).grpc);
  using plainClient = new GrpcClient((await plain.ask('addresses')).grpc);
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
  const somewhere = (index: number) => BigInt(PAGE + ((index * 7919) % (MESSAGES - PAGE)));
  const works = [
    { name: 'newest', ours: () => list(client), theirs: () => bare(BigInt(MESSAGES) * 2n) },
    { name: 'newest_uncached', ours: () => list(plainClient), theirs: () => bare(BigInt(MESSAGES) * 2n) },
    {
      name: 'middle',
      ours: (index: number) => list(client, somewhere(index)),
      theirs: (index: number) => bare(somewhere(index)),
    },
  ];
  const measurements: Measurement[] = [];
  for (const { name, ours, theirs } of works) {
    await p50(CALLS, ours);
    await p50(CALLS, theirs);
    const [values, baselines]: [number[], number[]] = [[], []];
    for (let run = 0; run < RUNS; run++) {
      values.push(await p50(CALLS, ours));
      baselines.push(await p50(CALLS, theirs));
    }
    measurements.push(toMeasurement(`history_page_${name}`, 'ms', values, baselines));
  }
  return measurements;
}
