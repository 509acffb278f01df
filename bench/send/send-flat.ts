import { type Benchmark, ratioAtLeast } from '../lib/benchmark.ts';
import { createCallers } from '../lib/callers.ts';
import { type Channel, createChannels, users } from '../lib/channels.ts';
import { GrpcClient } from '../lib/grpc-client.ts';
import { callsPerSecond } from '../lib/load.ts';
import { compare, type Measurement } from '../lib/measure.ts';
import type { Stack } from '../lib/stack.ts';

const CALLS = 64;
const LARGE = 10_000;
const SMALL = 10;
const WARM_UP_MS = 1_500;
const RUN_MS = 3_000;

/** Sends per second to a channel of 10,000 members over sends to one of 10, by the same number of senders. */
export const sendFlat: Benchmark = {
  name: 'send_flat',
  subject: 'send',
  isHeadline: true,
  goals: { send_flat: ratioAtLeast(0.9) },
  run,
};

async function run(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  const senders = users(SMALL);
  const [large, small] = await createChannels(database.owner(1), [users(LARGE), senders]);
  await using service = await stack.service(database);
  using client = new GrpcClient((await service.call('addresses')).grpc);

  const senderTo = async (channel: Channel | undefined) => {
    const callerAt = await createCallers(stack, channel === undefined ? [] : [channel], senders, CALLS);
    return (ms: number) => callsPerSecond(CALLS, ms, (index) => client.send(index, callerAt(index)));
  };
  const sendToLarge = await senderTo(large);
  const sendToSmall = await senderTo(small);
  await sendToLarge(WARM_UP_MS);
  await sendToSmall(WARM_UP_MS);
  return [
    await compare(
      'send_flat',
      'calls/s',
      () => sendToLarge(RUN_MS),
      () => sendToSmall(RUN_MS),
    ),
  ];
}
