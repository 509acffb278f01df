import { createServer } from 'node:http';
import { listen } from '../../src/telemetry/address.ts';
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
 * Sends per second to an instance that traces every call over those to an instance that traces none, and the CPU time of
 * the service that each takes. The collector discards what it receives.
 */
export const sendTracedVsUntraced: Benchmark = {
  name: 'send_traced_vs_untraced',
  subject: 'send',
  isHeadline: false,
  goals: { send_traced_vs_untraced: ratioAtLeast(0.8), send_traced_cpu_vs_untraced: ratioAtMost(1.25) },
  run,
};

async function run(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  const channels = await createChannels(database.owner(1), roomMembers(CHANNELS, CALLERS));
  const callerAt = await createCallers(stack, channels, users(CALLERS), CALLERS);

  await using open = new AsyncDisposableStack();
  let requests = 0;
  const server = createServer((request, response) => {
    requests += 1;
    request.resume().once('end', () => response.end());
  });
  const collector = open.adopt(await listen(server, '127.0.0.1:0'), ({ close }) => close());
  const measureSends = async (settings: Readonly<Record<string, string>>) => {
    const service = open.use(await stack.service(database, settings));
    const client = open.use(new GrpcClient((await service.call('addresses')).grpc));
    const send = (index: number) => client.send(index, callerAt(index));
    await callsPerSecond(CALLERS, WARM_UP_MS, send);
    const cpu: number[] = [];
    return { cpu, measure: () => measureCpu(service, cpu, CALLERS, RUN_MS, send) };
  };
  const traced = await measureSends({ OTEL_EXPORTER_OTLP_ENDPOINT: `http://${collector.address}` });
  const untraced = await measureSends({});
  const rate = await compare('send_traced_vs_untraced', 'calls/s', traced.measure, untraced.measure);
  if (requests === 0) throw new Error('the collector received no trace');
  return [rate, toMeasurement('send_traced_cpu_vs_untraced', 'µs', traced.cpu, untraced.cpu)];
}
