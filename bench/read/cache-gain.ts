import type { Redis } from 'ioredis';
import { GetUnreadSummaryRequestSchema, MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { ListMessagesRequestSchema, MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { Child } from '../../scripts/lib/child.ts';
import type { Pool } from '../../src/db/types.ts';
import { type Benchmark, ratioAtMost } from '../lib/benchmark.ts';
import { type Channel, createChannels, users } from '../lib/channels.ts';
import { dropSearchIndex, fillChannels } from '../lib/fill.ts';
import { authorization, encode, GrpcClient } from '../lib/grpc-client.ts';
import { type Measurement, percentile, RUNS, toMeasurement } from '../lib/measure.ts';
import { type Stack, TENANT } from '../lib/stack.ts';
import { databaseCpu, openRedis, redisCpu } from '../lib/store-usage.ts';
import type { ServerCommands } from '../processes/server.ts';

const CHANNELS = 500;
const MESSAGES = 100;
const READERS = 10;

const IN_FLIGHT = 8;

/** Per call: response time in ms, and CPU time in µs. */
type Cost = { readonly ms: number; readonly server: number; readonly database: number; readonly all: number };

type ReadCase = {
  readonly name: string;
  readonly calls: number;
  /** Calls before the measurement, to fill caches and plans. */
  readonly warmUp: number;
  /** The measured call. The time of `before` is not measured. */
  call(client: GrpcClient, index: number): Promise<unknown>;
  before?(index: number): Promise<unknown>;
};

/**
 * Cost of reads with the caches in Redis over the cost of the same reads without: response time, CPU time of the service,
 * of PostgreSQL, and of both with Redis. Three reads: the newest page of an unchanged channel, the newest page of a
 * channel that changed before each call (`missed`: the overhead of a miss), and the unread counts of 500 channels of
 * which one changed.
 */
export const cacheGain: Benchmark = {
  name: 'cache_gain',
  subject: 'read',
  isHeadline: false,
  goals: {
    cache_gain_messages_p50: ratioAtMost(0.9),
    cache_gain_messages_all_cpu: ratioAtMost(0.9),
    cache_gain_messages_missed_p50: ratioAtMost(1.15),
    cache_gain_messages_missed_all_cpu: ratioAtMost(1.15),
    cache_gain_unread_p50: ratioAtMost(0.9),
    cache_gain_unread_all_cpu: ratioAtMost(0.9),
  },
  run,
};

async function run(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  await using redis = openRedis(stack.redisUrl);
  const owner = database.owner(4);
  const channels = await createChannels(
    owner,
    Array.from({ length: CHANNELS }, () => users(READERS)),
  );
  await dropSearchIndex(owner);
  await fillChannels(owner, channels, MESSAGES);
  await using cached = await stack.service(database, { INSTANCE_ID: 'cached' });
  await using plain = await stack.service(database, { ...OFF, INSTANCE_ID: 'plain' });
  const readCases = await toReadCases(stack, owner, channels);
  const measurements: Measurement[] = [];
  for (const readCase of readCases) {
    const measure = async (service: Child<ServerCommands>, calls = readCase.calls) => {
      using client = new GrpcClient((await service.call('addresses')).grpc);
      return await costOf(readCase, calls, client, service, owner, redis);
    };
    await measure(cached, readCase.warmUp);
    await measure(plain, readCase.warmUp);
    const [values, baselines]: [Cost[], Cost[]] = [[], []];
    for (let run = 0; run < RUNS; run++) {
      values.push(await measure(cached));
      baselines.push(await measure(plain));
    }
    for (const [kind, unit] of KINDS) {
      const of = (costs: readonly Cost[]) => costs.map((cost) => cost[kind]);
      const name = `cache_gain_${readCase.name}_${kind === 'ms' ? 'p50' : `${kind}_cpu`}`;
      measurements.push(toMeasurement(name, unit, of(values), of(baselines)));
    }
  }
  return measurements;
}

const OFF = { CACHE_MESSAGES: 'false', CACHE_UNREAD: 'false' };
const KINDS = [
  ['ms', 'ms'],
  ['server', 'µs'],
  ['database', 'µs'],
  ['all', 'µs'],
] as const;

async function costOf(
  readCase: ReadCase,
  calls: number,
  client: GrpcClient,
  service: Child<ServerCommands>,
  owner: Pool,
  redis: Redis,
): Promise<Cost> {
  const used = async () => ({
    server: await service.call('cpu'),
    database: await databaseCpu(owner),
    redis: await redisCpu(redis),
  });
  const times: number[] = [];
  const before = await used();
  let next = 0;
  const callers = Array.from({ length: IN_FLIGHT }, async () => {
    for (let index = next++; index < calls; index = next++) {
      await readCase.before?.(index);
      const began = performance.now();
      await readCase.call(client, index);
      times.push(performance.now() - began);
    }
  });
  await Promise.all(callers);
  const after = await used();
  const server = (after.server - before.server) / calls;
  const database = (after.database - before.database) / calls;
  const all = server + database + (after.redis - before.redis) / calls;
  return { ms: percentile(times, 0.5), server, database, all };
}

async function toReadCases(stack: Stack, owner: Pool, channels: readonly Channel[]): Promise<ReadCase[]> {
  const metadata = authorization(await stack.tokens.sign({ userId: 1n, tenantId: TENANT }));
  const pages = channels.map(({ id }) => encode(ListMessagesRequestSchema, { channelId: id }));
  const list = (client: GrpcClient, index: number) =>
    client.call(index, MessageService.method.listMessages, at(pages, index), metadata);
  const summary = encode(GetUnreadSummaryRequestSchema, {});
  const change = (index: number) =>
    owner`update channels set event_seq = event_seq + 1 where id = ${at(channels, index).id}`;
  return [
    { name: 'messages', calls: 2_000, warmUp: 2_000, call: list },
    { name: 'messages_missed', calls: 1_000, warmUp: 500, call: list, before: change },
    {
      name: 'unread',
      calls: 120,
      warmUp: 20,
      call: (client, index) => client.call(index, MemberService.method.getUnreadSummary, summary, metadata),
      before: change,
    },
  ];
}

function at<T>(items: readonly T[], index: number): T {
  const item = items[index % items.length];
  if (item === undefined) throw new RangeError('empty list');
  return item;
}
