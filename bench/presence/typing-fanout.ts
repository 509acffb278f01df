import { create, toBinary } from '@bufbuild/protobuf';
import { PresenceService, StartTypingRequestSchema } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { Child } from '../../scripts/lib/child.ts';
import { type Benchmark, ratioAtMost } from '../lib/benchmark.ts';
import { createChannels, users } from '../lib/channels.ts';
import { authorization, GrpcClient } from '../lib/grpc-client.ts';
import { atRate } from '../lib/load.ts';
import { compare, type Measurement } from '../lib/measure.ts';
import type { Stack } from '../lib/stack.ts';
import { subscription, tokensOf } from '../lib/subscription.ts';
import type { BareCommands } from '../processes/bare-server.ts';
import type { ReaderCommands } from '../processes/reader.ts';

const CHANNELS = 10;
// The largest channel in which typing is broadcast.
const MEMBERS = 100;
// So slow that no typing event is suppressed: each user sends less than one in three seconds.
const PER_SECOND = 300;
const EVENTS = CHANNELS * MEMBERS;

/**
 * CPU time per delivered typing event of an instance with the streams of ten channels of 100 members, in which every
 * member types, over that of a bare HTTP/2 server that writes the same bytes to 100 streams. StartTyping is called on
 * another instance.
 */
export const typingFanout: Benchmark = {
  name: 'typing_fanout',
  subject: 'presence',
  isHeadline: false,
  goals: { typing_fanout: ratioAtMost(2) },
  run,
};

async function run(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  const members = Array.from({ length: CHANNELS }, (_, channel) => users(MEMBERS, 1 + channel * MEMBERS));
  const channels = await createChannels(database.owner(1), members);
  const tokens = await tokensOf(stack, members.flat());
  await using called = await stack.service(database);
  await using service = await stack.service(database);
  await using bare = await Child.start<BareCommands>('bench/processes/bare-server.ts');
  await using reader = await Child.start<ReaderCommands>('bench/processes/reader.ts');
  using client = new GrpcClient((await called.call('addresses')).grpc);
  const counted = 'typing';
  const address = (await service.call('addresses')).grpc;
  const set = await reader.call('open', { ...subscription('grpc', address, undefined, tokens), counted });
  const few = tokens.slice(0, MEMBERS);
  const bareOpening = subscription('grpc', await bare.call('address'), undefined, few);
  const bareSet = await reader.call('open', { ...bareOpening, counted });

  const type = (index: number) => {
    const request = { channelId: channels[Math.floor(index / MEMBERS)]?.id ?? 0n };
    const bytes = Buffer.from(toBinary(StartTypingRequestSchema, create(StartTypingRequestSchema, request)));
    return client.call(index, PresenceService.method.startTyping, bytes, authorization(tokens[index] ?? ''));
  };
  const rounds = { service: 0, bare: 0 };
  const value = async () => {
    const before = await service.call('cpu');
    await atRate(PER_SECOND, EVENTS, type);
    rounds.service += 1;
    // A typist does not receive the own event.
    await reader.call('waitFor', { set, events: rounds.service * (MEMBERS - 1) });
    return ((await service.call('cpu')) - before) / (EVENTS * (MEMBERS - 1));
  };
  const baseline = async () => {
    const frame = await reader.call('lastEvent', set);
    const before = await bare.call('cpu');
    await atRate(PER_SECOND, EVENTS, () => bare.call('write', frame));
    rounds.bare += EVENTS;
    await reader.call('waitFor', { set: bareSet, events: rounds.bare });
    return ((await bare.call('cpu')) - before) / (EVENTS * MEMBERS);
  };
  await value();
  await baseline();
  return [await compare('typing_fanout', 'µs', value, baseline)];
}
