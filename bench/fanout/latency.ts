import { Child } from '../../scripts/lib/child.ts';
import type { Pool } from '../../src/db/types.ts';
import { type Benchmark, ratioAtMost } from '../lib/benchmark.ts';
import { createChannels, users } from '../lib/channels.ts';
import { authorization, EncodedMessage, GrpcClient } from '../lib/grpc-client.ts';
import { atRate } from '../lib/load.ts';
import { type Measurement, percentile, RUNS, toMeasurement } from '../lib/measure.ts';
import type { Stack } from '../lib/stack.ts';
import { type Edge, subscription, tokensOf } from '../lib/subscription.ts';
import { timestampedText } from '../lib/timestamped-text.ts';
import type { ReaderCommands } from '../processes/reader.ts';

const SUBSCRIBERS = 50;
const PER_SECOND = 200;
const MESSAGES = 600;
const CONNECTIONS = 4;

type Percentiles = { readonly p50: number; readonly p99: number };

/**
 * Time from the start of a send to its delivery to 50 subscribers, half of them on each edge, at 200 messages a second;
 * over the time to insert and commit one bare row in the same database at the same rate.
 */
export const latency: Benchmark = {
  name: 'latency',
  subject: 'fanout',
  isHeadline: true,
  goals: { latency_p50: ratioAtMost(3), latency_p99: ratioAtMost(3) },
  run,
};

async function run(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  const members = users(SUBSCRIBERS);
  const [channel] = await createChannels(database.owner(1), [members]);
  if (channel === undefined) throw new Error('no channel');
  const tokens = await tokensOf(stack, members);
  const metadata = authorization(tokens[0] ?? '');
  await using service = await stack.service(database);
  await using reader = await Child.start<ReaderCommands>('bench/processes/reader.ts');
  const addresses = await service.call('addresses');
  using client = new GrpcClient(addresses.grpc);
  const open = (edge: Edge, some: readonly string[]) =>
    reader.call('open', subscription(edge, addresses[edge], channel.id, some));
  const sets = [
    await open('grpc', tokens.slice(0, SUBSCRIBERS / 2)),
    await open('web', tokens.slice(SUBSCRIBERS / 2)),
  ];

  let sent = 0;
  const deliver = async (count: number): Promise<Percentiles> => {
    await atRate(PER_SECOND, count, (index) => {
      const message = new EncodedMessage(channel.id, timestampedText());
      return client.send(index, { metadata, message: () => message });
    });
    sent += count;
    for (const set of sets) await reader.call('waitFor', { set, events: sent });
    return reader.call('latencies', sets);
  };
  const commit = await bareCommits(database.owner(CONNECTIONS));
  await deliver(MESSAGES / 2);
  await commit(MESSAGES / 2);
  return await measure(deliver, commit);
}

type Series = (count: number) => Promise<Percentiles>;

async function measure(deliver: Series, commit: Series): Promise<Measurement[]> {
  const values: Percentiles[] = [];
  const baselines: Percentiles[] = [];
  for (let run = 0; run < RUNS; run++) {
    values.push(await deliver(MESSAGES));
    baselines.push(await commit(MESSAGES));
  }
  return (['p50', 'p99'] as const).map((key) =>
    toMeasurement(
      `latency_${key}`,
      'ms',
      values.map((run) => run[key]),
      baselines.map((run) => run[key]),
    ),
  );
}

async function bareCommits(sql: Pool): Promise<Series> {
  await sql`create table bare (id bigserial primary key, content text not null)`;
  return async (count) => {
    const times: number[] = [];
    await atRate(PER_SECOND, count, async () => {
      const began = performance.now();
      await sql`insert into bare (content) values (${timestampedText()})`;
      times.push(performance.now() - began);
    });
    return { p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
  };
}
