import { setTimeout as sleep } from 'node:timers/promises';
import { Child } from '../../scripts/lib/child.ts';
import { type Benchmark, ratioAtMost } from '../lib/benchmark.ts';
import { createCallers } from '../lib/callers.ts';
import { createChannels, users } from '../lib/channels.ts';
import { GrpcClient } from '../lib/grpc-client.ts';
import { atRate } from '../lib/load.ts';
import { compare, type Measurement } from '../lib/measure.ts';
import type { Stack } from '../lib/stack.ts';
import { subscription, tokensOf } from '../lib/subscription.ts';
import type { InstancesCommands } from '../processes/instances.ts';
import type { ReaderCommands } from '../processes/reader.ts';

const INSTANCES = 20;
const SERVED = 1n;
const OTHER = 2n;
const EVENTS = 800;
const PER_SECOND = 200;
const IDLE_MS = 3_000;
// Few connections, because one PostgreSQL serves all instances.
const CONNECTIONS = { DATABASE_CONNECTIONS: '1', WRITE_BATCH_CONNECTIONS: '1', EVENT_CONNECTIONS: '1' };

/**
 * CPU time that each of 20 instances uses per message to a tenant of which it has no streams, over that per message to a
 * tenant of which each has one stream. The messages are sent to another instance; what idle instances use is subtracted.
 */
export const relayCost: Benchmark = {
  name: 'relay_cost',
  subject: 'fanout',
  isHeadline: false,
  goals: { relay_cost: ratioAtMost(0.05) },
  run,
};

async function run(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  const owner = database.owner(1);
  const [served] = await createChannels(owner, [users(2)], SERVED);
  const [other] = await createChannels(owner, [users(2)], OTHER);
  if (served === undefined || other === undefined) throw new Error('no channel');
  const callers = {
    served: await createCallers(stack, [served], users(1), 1, SERVED),
    other: await createCallers(stack, [other], users(1), 1, OTHER),
  };
  await using sending = await stack.service(database);
  const env = { ...stack.environment(database, CONNECTIONS), INSTANCES: `${INSTANCES}` };
  await using simulated = await Child.start<InstancesCommands>('bench/processes/instances.ts', env);
  await using reader = await Child.start<ReaderCommands>('bench/processes/reader.ts');
  using client = new GrpcClient((await sending.call('addresses')).grpc);
  const tokens = await tokensOf(stack, users(1, 2), SERVED);
  for (const address of await simulated.call('addresses'))
    await reader.call('open', subscription('grpc', address, served.id, tokens));

  const perMillisecond = async () => {
    const before = await simulated.call('cpu');
    await sleep(IDLE_MS);
    return ((await simulated.call('cpu')) - before) / IDLE_MS;
  };
  const measure = async (callerAt: typeof callers.served) => {
    const idle = await perMillisecond();
    const before = await simulated.call('cpu');
    const began = performance.now();
    await atRate(PER_SECOND, EVENTS, (index) => client.send(index, callerAt(index)));
    const used = (await simulated.call('cpu')) - before - idle * (performance.now() - began);
    return used / (EVENTS * INSTANCES);
  };
  await measure(callers.served);
  return [
    await compare(
      'relay_cost',
      'µs',
      () => measure(callers.other),
      () => measure(callers.served),
    ),
  ];
}
