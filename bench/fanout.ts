import type { BareCommands } from './bare-server.ts';
import { createCallers } from './lib/callers.ts';
import { createChannels, users } from './lib/channels.ts';
import { Child } from './lib/child.ts';
import { GrpcClient } from './lib/grpc-client.ts';
import { atRate } from './lib/load.ts';
import { compare, type Measurement } from './lib/measure.ts';
import type { Stack } from './lib/stack.ts';
import { type Edge, subscription, tokensOf } from './lib/subscription.ts';
import type { ReaderCommands } from './reader.ts';

const STREAMS = 1_000;
const EVENTS = 100;
const PER_SECOND = 50;

/**
 * CPU time per delivered event of an instance with 1,000 streams, over that of a bare HTTP/2 server that writes
 * the same bytes to as many. The messages are sent at another instance, so that the one measured does what an
 * instance does for the messages of all others: it takes them from Redis and delivers them.
 */
export async function fanout(stack: Stack, edge: Edge): Promise<Measurement[]> {
  await using database = await stack.database();
  const members = users(STREAMS);
  const [channel] = await createChannels(database.owner(1), [members]);
  if (channel === undefined) throw new Error('no channel');
  const tokens = await tokensOf(stack, members);
  const callerAt = await createCallers(stack, [channel], users(1), 1);

  await using sending = await stack.service(database);
  await using service = await stack.service(database);
  await using bare = await Child.start<BareCommands>('bare-server.ts');
  await using reader = await Child.start<ReaderCommands>('reader.ts');
  using client = new GrpcClient((await sending.ask('addresses')).grpc);
  const addresses = await service.ask('addresses');
  const set = await reader.ask('open', subscription(edge, addresses[edge], channel.id, tokens));
  const bareSet = await reader.ask('open', subscription(edge, await bare.ask('address'), channel.id, tokens));

  const delivered = { service: 0, bare: 0 };
  const value = async (events: number) => {
    const before = await service.ask('cpu');
    await atRate(PER_SECOND, events, (index) => client.send(index, callerAt(index)));
    delivered.service += events;
    await reader.ask('waitFor', { set, events: delivered.service });
    return ((await service.ask('cpu')) - before) / (events * STREAMS);
  };
  const baseline = async (events: number) => {
    const frame = await reader.ask('lastEvent', set);
    const before = await bare.ask('cpu');
    await atRate(PER_SECOND, events, () => bare.ask('write', frame));
    delivered.bare += events;
    await reader.ask('waitFor', { set: bareSet, events: delivered.bare });
    return ((await bare.ask('cpu')) - before) / (events * STREAMS);
  };
  await value(EVENTS / 2);
  await baseline(EVENTS / 2);
  return [
    await compare(
      `fanout_${edge}`,
      'µs',
      () => value(EVENTS),
      () => baseline(EVENTS),
    ),
  ];
}
