import { Child } from '../../scripts/lib/child.ts';
import { type Benchmark, ratioAtMost, valueAtMost } from '../lib/benchmark.ts';
import { createChannels, users } from '../lib/channels.ts';
import { authorization, EncodedMessage, GrpcClient } from '../lib/grpc-client.ts';
import { atRate } from '../lib/load.ts';
import { type Measurement, RUNS, toMeasurement } from '../lib/measure.ts';
import type { Stack } from '../lib/stack.ts';
import { type Edge, subscription, tokensOf } from '../lib/subscription.ts';
import { timestampedText } from '../lib/timestamped-text.ts';
import type { ReaderCommands } from '../processes/reader.ts';

const NAME = 'ten_thousand_streams';
const CHANNELS = 200;
const MEMBERS = 50;
const FEW = 10;
const PER_SECOND = 50;
const ROUNDS = 2;

type Percentiles = { readonly p50: number; readonly p99: number };

/**
 * An instance with 10,000 streams of all channels of their users, half on each edge. Memory: resident memory per stream
 * over that of the first 500 streams. Time: from the start of a send to its delivery to the 50 members of a channel, at
 * 50 messages a second over all channels, over the same with only the first 500 streams open.
 */
export const tenThousandStreams: Benchmark = {
  name: NAME,
  subject: 'fanout',
  isHeadline: false,
  goals: { [`${NAME}_memory`]: valueAtMost(25), [`${NAME}_p99`]: ratioAtMost(1.5) },
  run,
};

async function run(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  const members = Array.from({ length: CHANNELS }, (_, channel) => users(MEMBERS, 1 + channel * MEMBERS));
  const channels = await createChannels(database.owner(1), members);
  const tokens = await tokensOf(stack, members.flat());
  await using service = await stack.service(database);
  await using reader = await Child.start<ReaderCommands>('bench/processes/reader.ts');
  const addresses = await service.call('addresses');
  using client = new GrpcClient(addresses.grpc);

  const open = (edge: Edge, some: readonly string[]) =>
    reader.call('open', subscription(edge, addresses[edge], undefined, some));
  const openBoth = async (some: readonly string[]) => [
    await open('grpc', some.slice(0, some.length / 2)),
    await open('web', some.slice(some.length / 2)),
  ];
  const deliver = async (
    first: number,
    count: number,
    sets: readonly number[],
    before: number,
  ): Promise<Percentiles> => {
    await atRate(PER_SECOND, count * ROUNDS, (index) => {
      const channel = first + (index % count);
      const metadata = authorization(tokens[channel * MEMBERS] ?? '');
      const message = new EncodedMessage(channels[channel]?.id ?? 0n, timestampedText());
      return client.send(index, { metadata, message: () => message });
    });
    for (const set of sets) await reader.call('waitFor', { set, events: before + ROUNDS });
    return reader.call('latencies', sets);
  };

  const empty = await service.call('memory');
  const few = await openBoth(tokens.slice(0, FEW * MEMBERS));
  const withFew = await service.call('memory');
  const baselines: Percentiles[] = [];
  let before = 0;
  for (let run = 0; run < RUNS * 2; run++, before += ROUNDS)
    baselines.push(await deliver(0, FEW, few, before));

  const beforeMany = await service.call('memory');
  const many = await openBoth(tokens.slice(FEW * MEMBERS));
  const withMany = await service.call('memory');
  const values: Percentiles[] = [];
  for (let run = 0; run < RUNS; run++) values.push(await deliver(FEW, CHANNELS - FEW, many, run * ROUNDS));

  const streams = tokens.length - FEW * MEMBERS;
  return [
    toMeasurement(
      `${NAME}_memory`,
      'KB',
      [(withMany - beforeMany) / streams],
      [(withFew - empty) / (FEW * MEMBERS)],
    ),
    ...(['p50', 'p99'] as const).map((key) =>
      toMeasurement(
        `${NAME}_${key}`,
        'ms',
        values.map((run) => run[key]),
        baselines.map((run) => run[key]),
      ),
    ),
  ];
}
