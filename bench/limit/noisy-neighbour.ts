import { Child } from '../../scripts/lib/child.ts';
import { type Benchmark, ratioAtMost } from '../lib/benchmark.ts';
import { createCallers } from '../lib/callers.ts';
import { createChannels, users } from '../lib/channels.ts';
import { GrpcClient } from '../lib/grpc-client.ts';
import { p99AtRate } from '../lib/load.ts';
import { compare, type Measurement } from '../lib/measure.ts';
import { DEFAULT_LIMITS, type Stack, TENANT } from '../lib/stack.ts';
import { tokensOf } from '../lib/subscription.ts';
import type { FloodCommands } from '../processes/flood.ts';

const NOISY = TENANT + 1n;
const QUIET_USERS = 100;
const NOISY_USERS = 200;
const IN_FLIGHT = 400;
const PER_SECOND = 40;
const MESSAGES = 240;

type Limits = Readonly<Record<string, string>>;

export const noisyNeighbour = toBenchmark('noisy_neighbour', 3, true, DEFAULT_LIMITS);
/** Without rate limits, so that only the fair queues protect the quiet tenant. */
export const noisyNeighbourUnlimited = toBenchmark('noisy_neighbour_unlimited', 15, false, {});

/** p99 of sends in a quiet tenant while another tenant floods the same instance, over p99 without the flood. */
function toBenchmark(name: string, goal: number, isHeadline: boolean, limits: Limits): Benchmark {
  return {
    name,
    subject: 'limit',
    isHeadline,
    goals: { [name]: ratioAtMost(goal) },
    run: async (stack) => [await measure(stack, name, limits)],
  };
}

async function measure(stack: Stack, name: string, limits: Limits): Promise<Measurement> {
  await using database = await stack.database();
  const quiet = users(QUIET_USERS);
  const noisy = users(NOISY_USERS);
  // With one channel between them, the messages of both use the same batch connection.
  const channels = await createChannels(database.owner(1), [quiet, []]);
  const [flooded] = await createChannels(database.owner(1), [noisy], NOISY);
  const tokens = await tokensOf(stack, noisy, NOISY);
  const callerAt = await createCallers(stack, channels, quiet, QUIET_USERS);
  await using service = await stack.service(database, limits);
  await using flood = await Child.start<FloodCommands>('bench/processes/flood.ts');
  const address = (await service.call('addresses')).grpc;
  using client = new GrpcClient(address);

  const sendAlone = () => p99AtRate(PER_SECOND, MESSAGES, (index) => client.send(index, callerAt(index)));
  const sendDuringFlood = async () => {
    await flood.call('start', { address, channelId: `${flooded?.id}`, tokens, inFlight: IN_FLIGHT });
    const p99 = await sendAlone();
    const { sent, rejected } = await flood.call('stop');
    console.error(`  the other tenant: ${sent} messages posted, ${rejected} rejected`);
    return p99;
  };
  await sendAlone();
  return await compare(name, 'ms', sendDuringFlood, sendAlone);
}
