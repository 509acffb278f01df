import { createCallers } from './lib/callers.ts';
import { type Channel, createChannels, users } from './lib/channels.ts';
import { GrpcClient } from './lib/grpc-client.ts';
import { callsPerSecond } from './lib/load.ts';
import { compare, type Measurement } from './lib/measure.ts';
import type { Stack } from './lib/stack.ts';

const CALLS = 64;
const LARGE = 10_000;
const SMALL = 10;
const WARM_UP_MS = 1_500;
const RUN_MS = 3_000;

/** Sends per second into one channel of many members over sends into one of few, by as many senders. */
export async function sendFlat(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  const senders = users(SMALL);
  const [large, small] = await createChannels(database.owner(1), [users(LARGE), senders]);
  await using service = await stack.service(database);
  using client = new GrpcClient((await service.ask('addresses')).grpc);

  const into = async (channel: Channel | undefined) => {
    const callerAt = await createCallers(stack, channel === undefined ? [] : [channel], senders, CALLS);
    return (ms: number) => callsPerSecond(CALLS, ms, (index) => client.send(index, callerAt(index)));
  };
  const intoLarge = await into(large);
  const intoSmall = await into(small);
  await intoLarge(WARM_UP_MS);
  await intoSmall(WARM_UP_MS);
  return [
    await compare(
      'send_flat',
      'calls/s',
      () => intoLarge(RUN_MS),
      () => intoSmall(RUN_MS),
    ),
  ];
}
