import { Child } from '../../scripts/lib/child.ts';
import { type Benchmark, valueAtMost } from '../lib/benchmark.ts';
import { createChannels, users } from '../lib/channels.ts';
import { compare, type Measurement } from '../lib/measure.ts';
import type { Stack } from '../lib/stack.ts';
import { type Edge, subscription, tokensOf } from '../lib/subscription.ts';
import type { BareCommands } from '../processes/bare-server.ts';
import type { ReaderCommands } from '../processes/reader.ts';

// The first streams load code and buffers that later streams share; only the later ones are counted.
const FIRST = 500;
const COUNTED = 1_500;

export const streamMemoryGrpc = toBenchmark('grpc', 25);
export const streamMemoryWeb = toBenchmark('web', 70);

/** Resident memory of a server per idle stream, over that of a bare HTTP/2 server, each in a fresh process. */
function toBenchmark(edge: Edge, goal: number): Benchmark {
  const name = `stream_memory_${edge}`;
  return {
    name,
    subject: 'fanout',
    isHeadline: false,
    goals: { [name]: valueAtMost(goal) },
    run: (stack) => run(stack, name, edge),
  };
}

type MeasuredServer = { call(name: 'memory'): Promise<number> };

async function run(stack: Stack, name: string, edge: Edge): Promise<Measurement[]> {
  await using database = await stack.database();
  const members = users(FIRST + COUNTED);
  const [channel] = await createChannels(database.owner(1), [members]);
  const tokens = await tokensOf(stack, members);
  await using reader = await Child.start<ReaderCommands>('bench/processes/reader.ts');

  const perStream = async (server: MeasuredServer, address: string) => {
    const open = (some: readonly string[]) =>
      reader.call('open', subscription(edge, address, channel?.id ?? 0n, some));
    const first = await open(tokens.slice(0, FIRST));
    const before = await server.call('memory');
    const counted = await open(tokens.slice(FIRST));
    const after = await server.call('memory');
    for (const set of [first, counted]) await reader.call('close', set);
    return (after - before) / COUNTED;
  };
  const value = async () => {
    await using service = await stack.service(database);
    return await perStream(service, (await service.call('addresses'))[edge]);
  };
  const baseline = async () => {
    await using bare = await Child.start<BareCommands>('bench/processes/bare-server.ts');
    return await perStream(bare, await bare.call('address'));
  };
  return [await compare(name, 'KB', value, baseline)];
}
