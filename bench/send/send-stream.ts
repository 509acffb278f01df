import { once } from 'node:events';
import { fromBinary } from '@bufbuild/protobuf';
import { SendMessagesResponseSchema } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type Benchmark, ratioAtLeast } from '../lib/benchmark.ts';
import { type Caller, createCallers } from '../lib/callers.ts';
import { createChannels, roomMembers, users } from '../lib/channels.ts';
import { GrpcClient } from '../lib/grpc-client.ts';
import { callsPerSecond } from '../lib/load.ts';
import { compare, type Measurement, toMeasurement } from '../lib/measure.ts';
import type { Stack } from '../lib/stack.ts';
import { databaseCpu } from '../lib/store-usage.ts';

const CALLERS = 64;
const STREAMS = 4;
const IN_FLIGHT = 64;
const CHANNELS = 200;
const RUN_MS = 3_000;
// Decoding every response would measure the client.
const CHECKED_EVERY = 100;

/**
 * Durable messages per second through one SendMessages stream on each of four connections, over no-op unary calls per
 * second by 64 callers on the same connections.
 */
export const sendStream: Benchmark = {
  name: 'send_stream_vs_noop',
  subject: 'send',
  isHeadline: true,
  // The other figures show where the time goes: CPU of the service and of PostgreSQL.
  goals: { send_stream_vs_noop: ratioAtLeast(1) },
  run,
};

async function run(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  const channels = await createChannels(database.owner(1), roomMembers(CHANNELS, CALLERS));
  const callerAt = await createCallers(stack, channels, users(CALLERS), CALLERS);
  await using service = await stack.service(database);
  using client = new GrpcClient((await service.call('addresses')).grpc);

  const owner = database.owner(1);
  const cpu = async () => [await service.call('cpu'), await databaseCpu(owner)] as const;
  const stream = () =>
    measure(cpu, async () => {
      const callers = Array.from({ length: STREAMS }, (_, index) => callerAt(index));
      const counts = await Promise.all(
        callers.map((caller, index) => sendFor(RUN_MS, client, index, caller)),
      );
      return counts.reduce((sum, count) => sum + count, 0);
    });
  const check = () =>
    measure(cpu, async () => {
      const call = (index: number) => client.check(index, callerAt(index));
      return (await callsPerSecond(CALLERS, RUN_MS, call)) * (RUN_MS / 1_000);
    });
  await stream();
  await check();
  return await compareAll(stream, check);
}

type Cost = { readonly perSecond: number; readonly serviceUs: number; readonly databaseUs: number };

async function measure(
  cpu: () => Promise<readonly [service: number, database: number]>,
  work: () => Promise<number>,
): Promise<Cost> {
  const before = await cpu();
  const began = performance.now();
  const count = await work();
  const seconds = (performance.now() - began) / 1_000;
  const after = await cpu();
  return {
    perSecond: count / seconds,
    serviceUs: (after[0] - before[0]) / count,
    databaseUs: (after[1] - before[1]) / count,
  };
}

async function compareAll(stream: () => Promise<Cost>, check: () => Promise<Cost>): Promise<Measurement[]> {
  const streamed: Cost[] = [];
  const checked: Cost[] = [];
  const rate = await compare(
    'send_stream_vs_noop',
    'messages/s, calls/s',
    async () => perSecondOf(streamed, await stream()),
    async () => perSecondOf(checked, await check()),
  );
  const service = toMeasurement(
    'send_stream_service_cpu',
    'µs',
    streamed.map(({ serviceUs }) => serviceUs),
    checked.map(({ serviceUs }) => serviceUs),
  );
  const withDatabase = toMeasurement(
    'send_stream_total_cpu',
    'µs',
    streamed.map(({ serviceUs, databaseUs }) => serviceUs + databaseUs),
    checked.map(({ serviceUs }) => serviceUs),
  );
  return [rate, service, withDatabase];
}

function perSecondOf(costs: Cost[], cost: Cost): number {
  costs.push(cost);
  return cost.perSecond;
}

/** Keeps IN_FLIGHT messages without an outcome; returns the number of outcomes. */
async function sendFor(ms: number, client: GrpcClient, index: number, caller: Caller): Promise<number> {
  const stream = client.openSendStream(index, caller);
  const end = performance.now() + ms;
  const send = () => stream.write(caller.message().inStreamWithNewRequestId());
  let outcomes = 0;
  stream.on('data', (bytes: Buffer) => {
    outcomes += 1;
    if (outcomes % CHECKED_EVERY === 0) requirePosted(bytes);
    if (performance.now() < end) send();
    else stream.end();
  });
  for (let sent = 0; sent < IN_FLIGHT; sent += 1) send();
  await once(stream, 'end');
  return outcomes;
}

function requirePosted(bytes: Buffer): void {
  const { outcome } = fromBinary(SendMessagesResponseSchema, bytes);
  if (outcome?.outcome.case !== 'response') throw new Error('a message was not posted');
}
