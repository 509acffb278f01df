import { createChannels, users } from './lib/channels.ts';
import { Child } from './lib/child.ts';
import { authorization, EncodedMessage, GrpcClient } from './lib/grpc-client.ts';
import { atRate } from './lib/load.ts';
import { type Measurement, RUNS, toMeasurement } from './lib/measure.ts';
import type { Stack } from './lib/stack.ts';
import { stampedText } from './lib/stamp.ts';
import { type Edge, subscription, tokensOf } from './lib/subscription.ts';
import type { ReaderCommands } from './reader.ts';

const CHANNELS = 200;
const MEMBERS = 50;
const FEW = 10;
const PER_SECOND = 50;
const ROUNDS = 2;

type Percentiles = { readonly p50: number; readonly p99: number };

/**
 * An instance with 10,000 streams of all their users' channels, half on each edge: resident memory per stream over
 * that of the first 500, and the time from the start of a send to its delivery to the 50 members of a channel, at 50
 * messages a second over all channels; over the time with the first 500 streams alone.
 */
export async function tenThousandStreams(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  const members = Array.from({ length: CHANNELS }, (_, channel) => users(MEMBERS, 1 + channel * MEMBERS));
  const channels = await createChannels(database.owner(1), members);
  const tokens = await tokensOf(stack, members.flat());
  await using service = await stack.service(database);
  await using reader = await Child.start<ReaderCommands>('reader.ts');
  const addresses = await service.ask('addresses');
  using client = new GrpcClient(addresses.grpc);

  const open = (edge: Edge, some: readonly string[]) =>
    reader.ask('open', subscription(edge, addresses[edge], undefined, some));
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
      const message = new EncodedMessage(channels[channel]?.id ?? 0n, stampedText());
      return client.send(index, { metadata, message: () => message });
    });
    for (const set of sets) await reader.ask('waitFor', { set, events: before + ROUNDS });
    return reader.ask('latencies', sets);
  };

  const empty = await service.ask('memory');
  const few = await openBoth(tokens.slice(0, FEW * MEMBERS));
  const withFew = await service.ask('memory');
  const baselines: Percentiles[] = [];
  let before = 0;
  for (let run = 0; run < RUNS * 2; run++, before += ROUNDS)
    baselines.push(await deliver(0, FEW, few, before));

  const beforeMany = await service.ask('memory');
  const many = await openBoth(tokens.slice(FEW * MEMBERS));
  const withMany = await service.ask('memory');
  const values: Percentiles[] = [];
  for (let run = 0; run < RUNS; run++) values.push(await deliver(FEW, CHANNELS - FEW, many, run * ROUNDS));

  const name = 'ten_thousand_streams';
  const streams = tokens.length - FEW * MEMBERS;
  return [
    toMeasurement(
      `${name}_memory`,
      'KB',
      [(withMany - beforeMany) / streams],
      [(withFew - empty) / (FEW * MEMBERS)],
    ),
    ...(['p50', 'p99'] as const).map((which) =>
      toMeasurement(
        `${name}_${which}`,
        'ms',
        values.map((run) => run[which]),
        baselines.map((run) => run[which]),
      ),
    ),
  ];
}
