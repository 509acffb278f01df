import type { BareCommands } from './bare-server.ts';
import { createChannels, users } from './lib/channels.ts';
import { Child } from './lib/child.ts';
import { compare, type Measurement } from './lib/measure.ts';
import type { Stack } from './lib/stack.ts';
import { type Edge, subscription, tokensOf } from './lib/subscription.ts';
import type { ReaderCommands } from './reader.ts';

// The first streams bring in code and buffers that later ones share; only the others are counted.
const FIRST = 500;
const COUNTED = 1_500;

type Held = { ask(name: 'memory'): Promise<number> };

/** Resident memory of a server per idle stream, over that of a bare HTTP/2 server, each in a fresh process. */
export async function streamMemory(stack: Stack, edge: Edge): Promise<Measurement[]> {
  await using database = await stack.database();
  const members = users(FIRST + COUNTED);
  const [channel] = await createChannels(database.owner(1), [members]);
  const tokens = await tokensOf(stack, members);
  await using reader = await Child.start<ReaderCommands>('reader.ts');

  const perStream = async (server: Held, address: string) => {
    const open = (some: readonly string[]) =>
      reader.ask('open', subscription(edge, address, channel?.id ?? 0n, some));
    const first = await open(tokens.slice(0, FIRST));
    const before = await server.ask('memory');
    const counted = await open(tokens.slice(FIRST));
    const after = await server.ask('memory');
    for (const set of [first, counted]) await reader.ask('close', set);
    return (after - before) / COUNTED;
  };
  const value = async () => {
    await using service = await stack.service(database);
    return await perStream(service, (await service.ask('addresses'))[edge]);
  };
  const baseline = async () => {
    await using bare = await Child.start<BareCommands>('bare-server.ts');
    return await perStream(bare, await bare.ask('address'));
  };
  return [await compare(`stream_memory_${edge}`, 'KB', value, baseline)];
}
