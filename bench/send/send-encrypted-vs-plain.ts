import { randomBytes } from 'node:crypto';
import { ChannelService, EnableEncryptionRequestSchema } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { type Benchmark, ratioAtLeast, ratioAtMost } from '../lib/benchmark.ts';
import { createCallers } from '../lib/callers.ts';
import { type Channel, createChannels, roomMembers, users } from '../lib/channels.ts';
import { measureCpu } from '../lib/cpu.ts';
import { authorization, encode, GrpcClient } from '../lib/grpc-client.ts';
import { callsPerSecond } from '../lib/load.ts';
import { compare, type Measurement, toMeasurement } from '../lib/measure.ts';
import { type Stack, TENANT } from '../lib/stack.ts';

const CALLERS = 64;
const CHANNELS = 100;
const WARM_UP_MS = 1_500;
const RUN_MS = 3_000;

/**
 * Sends per second to encrypted channels over sends to other channels, by the same callers and on one instance, and the CPU
 * time of the service that each takes.
 */
export const sendEncryptedVsPlain: Benchmark = {
  name: 'send_encrypted_vs_plain',
  subject: 'send',
  isHeadline: false,
  goals: { send_encrypted_vs_plain: ratioAtLeast(0.6), send_encrypted_cpu_vs_plain: ratioAtMost(1.6) },
  run,
};

async function run(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  const owner = database.owner(1);
  const channels = await createChannels(owner, roomMembers(2 * CHANNELS, CALLERS));
  await owner`update channel_members set role = 'OWNER'`;
  await using service = await stack.service(database, {
    ENCRYPTION_KEYS: `bench=${randomBytes(32).toString('base64')}`,
  });
  using client = new GrpcClient((await service.call('addresses')).grpc);
  const [encrypted, plain] = [channels.slice(0, CHANNELS), channels.slice(CHANNELS)];
  await encryptAll(stack, client, encrypted);

  const measureSends = async (to: readonly Channel[]) => {
    const callerAt = await createCallers(stack, to, users(CALLERS), CALLERS);
    const send = (index: number) => client.send(index, callerAt(index));
    await callsPerSecond(CALLERS, WARM_UP_MS, send);
    const cpu: number[] = [];
    return { cpu, measure: () => measureCpu(service, cpu, CALLERS, RUN_MS, send) };
  };
  const [value, baseline] = [await measureSends(encrypted), await measureSends(plain)];
  return [
    await compare('send_encrypted_vs_plain', 'calls/s', value.measure, baseline.measure),
    toMeasurement('send_encrypted_cpu_vs_plain', 'µs', value.cpu, baseline.cpu),
  ];
}

async function encryptAll(stack: Stack, client: GrpcClient, channels: readonly Channel[]): Promise<void> {
  for (const { id, members } of channels) {
    const metadata = authorization(await stack.tokens.sign({ userId: members[0] ?? 0n, tenantId: TENANT }));
    const request = encode(EnableEncryptionRequestSchema, { channelId: id });
    await client.call(0, ChannelService.method.enableEncryption, request, metadata);
  }
}
