import { setTimeout as sleep } from 'node:timers/promises';
import { create, toBinary } from '@bufbuild/protobuf';
import type { Redis } from 'ioredis';
import { PresenceStatus } from '#gen/serp/discuss/v1/presence_pb.ts';
import { HeartbeatRequestSchema, PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { Child } from '../../scripts/lib/child.ts';
import { type Benchmark, ratioAtMost } from '../lib/benchmark.ts';
import { createChannels, users } from '../lib/channels.ts';
import { authorization, GrpcClient } from '../lib/grpc-client.ts';
import { atRate } from '../lib/load.ts';
import { type Measurement, RUNS, toMeasurement } from '../lib/measure.ts';
import type { Stack } from '../lib/stack.ts';
import { openRedis, redisCommands, redisCpu } from '../lib/store-usage.ts';
import { subscription, tokensOf } from '../lib/subscription.ts';
import type { ReaderCommands } from '../processes/reader.ts';

const USERS = 10_000;
const MEMBERS = 20;
const PER_SECOND = 1_000;
const CHANGES = 8_000;
const FLAPPING = 100;
/** Redis commands per change, including those in scripts: see docs/architecture.md. */
const MAX_COMMANDS = 10;
/** Messages to a stream of a peer for ten changes in a second. */
const MAX_FLAPPING_MESSAGES = 2;
// Changes are collected for one second before they are sent.
const SETTLE_MS = 2_500;

const { AWAY, ONLINE } = PresenceStatus;

type Storm = {
  /** Changes the presence of users, in turn, at 1,000 a second. */
  change(users: readonly number[], count: number, round: number): Promise<void>;
  readonly redis: Redis;
  /** Presence messages that all streams have received. */
  received(): Promise<number>;
  /** Streams of other users that share a channel with a user. */
  peersOf(user: number): number;
};

/**
 * 1,000 presence changes a second among 10,000 users, each in two channels of 20 members, over two instances. A fifth of
 * the users have streams, the others change. Figures: Redis commands per change, over their budget; messages written to
 * streams, over one per change and stream of a peer; the same messages when 100 users flap, over their budget.
 */
export const presenceStorm: Benchmark = {
  name: 'presence_storm',
  subject: 'presence',
  isHeadline: false,
  goals: {
    presence_storm_commands: ratioAtMost(1),
    presence_storm_messages: ratioAtMost(1),
    presence_storm_flapping: ratioAtMost(1),
  },
  run,
};

async function run(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  const groups = toGroups(users(USERS));
  await createChannels(database.owner(1), groups);
  const tokens = await tokensOf(stack, users(USERS));
  await using one = await stack.service(database);
  await using other = await stack.service(database);
  await using reader = await Child.start<ReaderCommands>('bench/processes/reader.ts');
  await using redis = openRedis(stack.redisUrl);
  const addresses = [(await one.call('addresses')).grpc, (await other.call('addresses')).grpc];
  using first = new GrpcClient(addresses[0] ?? '');
  using second = new GrpcClient(addresses[1] ?? '');
  const change = (some: readonly number[], count: number, round: number) =>
    atRate(PER_SECOND, count, (index) => {
      const user = some[index % some.length] ?? 0;
      const turn = round + Math.floor(index / some.length);
      const request = { device: { id: 'bench' }, status: turn % 2 === 0 ? ONLINE : AWAY };
      return (user % 2 === 0 ? first : second).call(
        user,
        PresenceService.method.heartbeat,
        Buffer.from(toBinary(HeartbeatRequestSchema, create(HeartbeatRequestSchema, request))),
        authorization(tokens[user - 1] ?? ''),
      );
    });
  const sets: number[] = [];
  for (const [index, address] of addresses.entries()) {
    const some = tokens.filter((_, place) => isOnStream(place + 1) && place % 2 === index);
    const opening = subscription('grpc', address, undefined, some);
    sets.push(await reader.call('open', { ...opening, counted: 'presence' }));
  }
  const received = async () => {
    const counts = await Promise.all(sets.map((set) => reader.call('count', set)));
    return counts.reduce((sum, count) => sum + count, 0);
  };
  return await measure({ change, redis, received, peersOf: (user) => countPeers(groups, user) });
}

async function measure({ change, redis, received, peersOf }: Storm): Promise<Measurement[]> {
  const changing = users(USERS)
    .map(Number)
    .filter((user) => !isOnStream(user))
    .slice(0, CHANGES);
  const flapping = changing.slice(0, FLAPPING);
  await change(changing, changing.length, 0);
  await sleep(SETTLE_MS);
  const commands: number[] = [];
  const messages: number[] = [];
  const flappingMessages: number[] = [];
  const observe = async (some: readonly number[], count: number, round: number) => {
    const before = {
      commands: await redisCommands(redis),
      cpu: await redisCpu(redis),
      received: await received(),
    };
    await change(some, count, round);
    await sleep(SETTLE_MS);
    const all = (some.reduce((sum, user) => sum + peersOf(user), 0) * count) / some.length;
    const cpu = ((await redisCpu(redis)) - before.cpu) / count;
    console.error(`  ${count} changes of ${some.length} users: ${cpu.toFixed(1)} µs of Redis each`);
    return {
      commands: ((await redisCommands(redis)) - before.commands) / count,
      messages: ((await received()) - before.received) / all,
    };
  };
  for (let run = 0; run < RUNS; run++) {
    const steady = await observe(changing, changing.length, run + 1);
    commands.push(steady.commands);
    messages.push(steady.messages);
    // An odd number of rounds, so that the last status differs from the first.
    flappingMessages.push((await observe(flapping, FLAPPING * 31, run)).messages * 10);
    await change(flapping, FLAPPING, run + 1);
    await sleep(SETTLE_MS);
  }
  const same = (value: number) => Array.from({ length: RUNS }, () => value);
  return [
    toMeasurement('presence_storm_commands', 'commands', commands, same(MAX_COMMANDS)),
    toMeasurement('presence_storm_messages', 'messages', messages, same(1)),
    toMeasurement('presence_storm_flapping', 'messages', flappingMessages, same(MAX_FLAPPING_MESSAGES)),
  ];
}

/** Two groups for each user: one of consecutive ids, one of distant ids. */
function toGroups(all: readonly bigint[]): bigint[][] {
  const count = all.length / MEMBERS;
  const near = Array.from({ length: count }, (_, group) => all.slice(group * MEMBERS, (group + 1) * MEMBERS));
  const far = Array.from({ length: count }, (_, group) => all.filter((_, user) => user % count === group));
  return [...near, ...far];
}

/** A fifth of the users, spread over all groups. */
function isOnStream(user: number): boolean {
  return (Math.imul(user, 0x9e3779b1) >>> 16) % 5 === 0;
}

function countPeers(groups: readonly (readonly bigint[])[], user: number): number {
  const near = groups[Math.floor((user - 1) / MEMBERS)] ?? [];
  const far = groups[groups.length / 2 + ((user - 1) % (groups.length / 2))] ?? [];
  return new Set([...near, ...far].map(Number).filter(isOnStream)).size;
}
