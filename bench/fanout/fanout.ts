import { Child } from '../../scripts/lib/child.ts';
import { type Benchmark, ratioAtMost } from '../lib/benchmark.ts';
import { createCallers } from '../lib/callers.ts';
import { createChannels, users } from '../lib/channels.ts';
import { GrpcClient } from '../lib/grpc-client.ts';
import { atRate } from '../lib/load.ts';
import { compare, type Measurement } from '../lib/measure.ts';
import type { Stack } from '../lib/stack.ts';
import { type Edge, subscription, tokensOf } from '../lib/subscription.ts';
import type { BareCommands } from '../processes/bare-server.ts';
import type { ReaderCommands } from '../processes/reader.ts';

const STREAMS = 1_000;
const EVENTS = 100;
const PER_SECOND = 50;

export const fanoutGrpc = toBenchmark('grpc', 1.5);
export const fanoutWeb = toBenchmark('web', 2);

/**
 * CPU time per delivered event of an instance with 1,000 streams, over that of a bare HTTP/2 server that writes the same
 * bytes to the same number of streams. The messages are sent to another instance, so that the measured instance does
 * what it does for the messages of all other instances: it receives them from Redis and delivers them.
 */
function toBenchmark(edge: Edge, goal: number): Benchmark {
  const name = `fanout_${edge}`;
  return {
    name,
    subject: 'fanout',
    isHeadline: true,
    goals: { [name]: ratioAtMost(goal) },
    run: (stack) => run(stack, name, edge),
  };
}

async function run(stack: Stack, name: string, edge: Edge): Promise<Measurement[]> {
  await using database = await stack.database();
  const members = users(STREAMS);
  const [channel] = await createChannels(database.owner(1), [members]);
  if (channel === undefined) throw new Error('no channel');
  const tokens = await tokensOf(stack, members);
  const callerAt = await createCallers(stack, [channel], users(1), 1);

  await using sending = await stack.service(database);
  await using service = await stack.service(database);
  await using bare = await Child.start<BareCommands>('bench/processes/bare-server.ts');
  await using reader = await Child.start<ReaderCommands>('bench/processes/reader.ts');
  using client = new GrpcClient((await sending.call('addresses')).grpc);
  const addresses = await service.call('addresses');
  const set = await reader.call('open', subscription(edge, addresses[edge], channel.id, tokens));
  const bareSet = await reader.call(
    'open',
    subscription(edge, await bare.call('address'), channel.id, tokens),
  );

  const delivered = { service: 0, bare: 0 };
  const value = async (events: number) => {
    const before = await service.call('cpu');
    await atRate(PER_SECOND, events, (index) => client.send(index, callerAt(index)));
    delivered.service += events;
    await reader.call('waitFor', { set, events: delivered.service });
    return ((await service.call('cpu')) - before) / (events * STREAMS);
  };
  const baseline = async (events: number) => {
    const frame = await reader.call('lastEvent', set);
    const before = await bare.call('cpu');
    await atRate(PER_SECOND, events, () => bare.call('write', frame));
    delivered.bare += events;
    await reader.call('waitFor', { set: bareSet, events: delivered.bare });
    return ((await bare.call('cpu')) - before) / (events * STREAMS);
  };
  await value(EVENTS / 2);
  await baseline(EVENTS / 2);
  return [
    await compare(
      name,
      'µs',
      () => value(EVENTS),
      () => baseline(EVENTS),
    ),
  ];
}
