import { type Benchmark, ratioAtMost } from '../lib/benchmark.ts';
import { type Caller, createCallers } from '../lib/callers.ts';
import { createChannels, roomMembers, users } from '../lib/channels.ts';
import { measureCpu } from '../lib/cpu.ts';
import { GrpcClient } from '../lib/grpc-client.ts';
import { compare, type Measurement } from '../lib/measure.ts';
import type { Stack } from '../lib/stack.ts';
import { Http1Client, Http2Client } from '../lib/web-client.ts';

const CALLERS = 64;
const CHANNELS = 200;
const WARM_UP_MS = 1_500;
const RUN_MS = 3_000;

type Send = (index: number, caller: Caller) => Promise<unknown>;

/**
 * CPU time of an instance per SendMessage by Connect on the web edge, over the same by gRPC on the mesh edge, by the
 * same number of callers.
 */
export const sendWebVsSend: Benchmark = {
  name: 'send_web_vs_send',
  subject: 'send',
  isHeadline: true,
  goals: { send_web_vs_send_http1: ratioAtMost(1.5), send_web_vs_send_http2: ratioAtMost(1.5) },
  run,
};

async function run(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  const channels = await createChannels(database.owner(1), roomMembers(CHANNELS, CALLERS));
  const callerAt = await createCallers(stack, channels, users(CALLERS), CALLERS);
  await using service = await stack.service(database);
  const { grpc, web } = await service.call('addresses');
  using mesh = new GrpcClient(grpc);
  using http1 = new Http1Client(web);
  using http2 = new Http2Client(web);

  const cpuPerCall = async (ms: number, send: Send) => {
    const cpu: number[] = [];
    await measureCpu(service, cpu, CALLERS, ms, (index) => send(index, callerAt(index)));
    return cpu[0] ?? 0;
  };
  const overMesh: Send = (index, caller) => mesh.send(index, caller);
  const overHttp1: Send = (index, caller) => http1.send(index, caller);
  const overHttp2: Send = (index, caller) => http2.send(index, caller);
  for (const send of [overMesh, overHttp1, overHttp2]) await cpuPerCall(WARM_UP_MS, send);
  const beside = (name: string, send: Send) =>
    compare(
      name,
      'µs',
      () => cpuPerCall(RUN_MS, send),
      () => cpuPerCall(RUN_MS, overMesh),
    );
  return [
    await beside('send_web_vs_send_http1', overHttp1),
    await beside('send_web_vs_send_http2', overHttp2),
  ];
}
