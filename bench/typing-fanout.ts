import { create, toBinary } from '@bufbuild/protobuf';
import { PresenceService, StartTypingRequestSchema } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import type { BareCommands } from './bare-server.ts';
import { createChannels, users } from './lib/channels.ts';
import { Child } from './lib/child.ts';
import { authorization, GrpcClient } from './lib/grpc-client.ts';
import { atRate } from './lib/load.ts';
import { compare, type Measurement } from './lib/measure.ts';
import type { Stack } from './lib/stack.ts';
import { subscription, tokensOf } from './lib/subscription.ts';
import type { ReaderCommands } from './reader.ts';

const CHANNELS = 10;
// As many as typing is told to.
const MEMBERS = 100;
// Each user types once in more than the three seconds that others are told in.
const PER_SECOND = 300;
const EVENTS = CHANNELS * MEMBERS;

/**
 * CPU time per delivered event of typing of an instance with the streams of ten channels of 100 members, all of whom
 * type, over that of a bare HTTP/2 server that writes the same bytes to as many. They call another instance.
 */
export async function typingFanout(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  const members = Array.from({ length: CHANNELS }, (_, channel) => users(MEMBERS, 1 + channel * MEMBERS));
  const channels = await createChannels(database.owner(1), members);
  const tokens = await tokensOf(stack, members.flat());
  await using called = await stack.service(database);
  await using service = await stack.service(database);
  await using bare = await Child.start<BareCommands>('bare-server.ts');
  await using reader = await Child.start<ReaderCommands>('reader.ts');
  using client = new GrpcClient((await called.ask('addresses')).grpc);
  const counted = 'typing';
  const address = (await service.ask('addresses')).grpc;
  const set = await reader.ask('open', { ...subscription('grpc', address, undefined, tokens), counted });
  const few = tokens.slice(0, MEMBERS);
  const bareOpening = subscription('grpc', await bare.ask('address'), undefined, few);
  const bareSet = await reader.ask('open', { ...bareOpening, counted });

  const type = (index: number) => {
    const request = { channelId: channels[Math.floor(index / MEMBERS)]?.id ?? 0n };
    const bytes = Buffer.from(toBinary(StartTypingRequestSchema, create(StartTypingRequestSchema, request)));
    return client.call(index, PresenceService.method.startTyping, bytes, authorization(tokens[index] ?? ''));
  };
  const rounds = { service: 0, bare: 0 };
  const value = async () => {
    const before = await service.ask('cpu');
    await atRate(PER_SECOND, EVENTS, type);
    rounds.service += 1;
    // Nobody is told of themselves.
    await reader.ask('waitFor', { set, events: rounds.service * (MEMBERS - 1) });
    return ((await service.ask('cpu')) - before) / (EVENTS * (MEMBERS - 1));
  };
  const baseline = async () => {
    const frame = await reader.ask('lastEvent', set);
    const before = await bare.ask('cpu');
    await atRate(PER_SECOND, EVENTS, () => bare.ask('write', frame));
    rounds.bare += EVENTS;
    await reader.ask('waitFor', { set: bareSet, events: rounds.bare });
    return ((await bare.ask('cpu')) - before) / (EVENTS * MEMBERS);
  };
  await value();
  await baseline();
  return [await compare('typing_fanout', 'µs', value, baseline)];
}
