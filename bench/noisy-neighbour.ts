import type { FloodCommands } from './flood.ts';
import { createCallers } from './lib/callers.ts';
import { createChannels, users } from './lib/channels.ts';
import { Child } from './lib/child.ts';
import { GrpcClient } from './lib/grpc-client.ts';
import { atRate } from './lib/load.ts';
import { compare, type Measurement, percentile } from './lib/measure.ts';
import { DEFAULT_LIMITS, type Stack, TENANT } from './lib/stack.ts';
import { tokensOf } from './lib/subscription.ts';

const NOISY = TENANT + 1n;
const QUIET_USERS = 100;
const NOISY_USERS = 200;
const IN_FLIGHT = 400;
const PER_SECOND = 40;
const MESSAGES = 320;

/**
 * p99 of sending in a quiet tenant while another one floods the same instance, over that without: under the limits
 * an instance has by itself, and without any, where only its queues are fair.
 */
export async function noisyNeighbour(stack: Stack): Promise<Measurement[]> {
  return [
    await measure(stack, 'noisy_neighbour', DEFAULT_LIMITS),
    await measure(stack, 'noisy_neighbour_unlimited', {}),
  ];
}

async function measure(
  stack: Stack,
  name: string,
  limits: Readonly<Record<string, string>>,
): Promise<Measurement> {
  await using database = await stack.database();
  const quiet = users(QUIET_USERS);
  const noisy = users(NOISY_USERS);
  // With one between them, both channels' messages go the same way into batches.
  const channels = await createChannels(database.owner(1), [quiet, []]);
  const [flooded] = await createChannels(database.owner(1), [noisy], NOISY);
  const tokens = await tokensOf(stack, noisy, NOISY);
  const callerAt = await createCallers(stack, channels, quiet, QUIET_USERS);
  await using service = await stack.service(database, limits);
  await using flood = await Child.start<FloodCommands>('flood.ts');
  const address = (await service.ask('addresses')).grpc;
  using client = new GrpcClient(address);

  const calm = async () => {
    const times: number[] = [];
    await atRate(PER_SECOND, MESSAGES, async (index) => {
      const began = performance.now();
      await client.send(index, callerAt(index));
      times.push(performance.now() - began);
    });
    return percentile(times, 0.99);
  };
  const beside = async () => {
    await flood.ask('start', { address, channelId: `${flooded?.id}`, tokens, inFlight: IN_FLIGHT });
    const p99 = await calm();
    const { sent, refused } = await flood.ask('stop');
    console.error(`  meanwhile the other tenant had ${sent} messages posted and ${refused} refused`);
    return p99;
  };
  await calm();
  return await compare(name, 'ms', beside, calm);
}
