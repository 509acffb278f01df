import { type Benchmark, ratioAtLeast, ratioAtMost } from '../lib/benchmark.ts';
import { createCallers } from '../lib/callers.ts';
import { createChannels, roomMembers, users } from '../lib/channels.ts';
import { measureCpu } from '../lib/cpu.ts';
import { GrpcClient } from '../lib/grpc-client.ts';
import { callsPerSecond } from '../lib/load.ts';
import { compare, type Measurement, toMeasurement } from '../lib/measure.ts';
import type { Stack } from '../lib/stack.ts';

const CALLERS = 64;
const CHANNELS = 200;
const WARM_UP_MS = 1_500;
const RUN_MS = 3_000;

/**
 * Durable SendMessage calls per second over no-op calls per second, by the same callers on the gRPC edge, and the CPU
 * time of the service that each takes.
 */
export const sendVsNoop: Benchmark = {
  name: 'send_vs_noop',
  subject: 'send',
  isHeadline: true,
  goals: { send_vs_noop: ratioAtLeast(0.4), send_cpu_vs_noop: ratioAtMost(2) },
  run,
};

async function run(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  // Every caller is in about 31 of the channels.
  const channels = await createChannels(database.owner(1), roomMembers(CHANNELS, CALLERS));
  const callerAt = await createCallers(stack, channels, users(CALLERS), CALLERS);
  await using service = await stack.service(database);
  using client = new GrpcClient((await service.call('addresses')).grpc);

  const send = (index: number) => client.send(index, callerAt(index));
  const check = (index: number) => client.check(index, callerAt(index));
  for (const call of [send, check]) await callsPerSecond(CALLERS, WARM_UP_MS, call);
  const sendCpu: number[] = [];
  const checkCpu: number[] = [];
  const rate = await compare(
    'send_vs_noop',
    'calls/s',
    () => measureCpu(service, sendCpu, CALLERS, RUN_MS, send),
    () => measureCpu(service, checkCpu, CALLERS, RUN_MS, check),
  );
  return [rate, toMeasurement('send_cpu_vs_noop', 'µs', sendCpu, checkCpu)];
}
