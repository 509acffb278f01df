import { randomUUID } from 'node:crypto';
import { MentionScope } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService, SendMessageRequestSchema } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { Pool } from '../../src/db/types.ts';
import { until } from '../../test/kit/until.ts';
import { type Benchmark, ratioAtMost } from '../lib/benchmark.ts';
import { createCallers } from '../lib/callers.ts';
import { createChannels, users } from '../lib/channels.ts';
import { authorization, encode, GrpcClient } from '../lib/grpc-client.ts';
import { atRate, p99AtRate } from '../lib/load.ts';
import { compare, type Measurement } from '../lib/measure.ts';
import { type Stack, TENANT } from '../lib/stack.ts';

const NAME = 'mention_all_beside';
const MENTIONING = TENANT + 1n;
const MEMBERS = 10_000;
const QUIET_USERS = 100;
const PER_SECOND = 40;
const MESSAGES = 240;
// One a second, more than can be recorded, so that recording lasts for the whole run.
const MENTIONS = MESSAGES / PER_SECOND;
const DRAIN_MS = 120_000;

/** p99 of sends in a tenant while another tenant mentions all members of a large group, over p99 without. */
export const mentionAllBeside: Benchmark = {
  name: NAME,
  subject: 'limit',
  isHeadline: false,
  goals: { [NAME]: ratioAtMost(3) },
  run: async (stack) => [await measure(stack)],
};

async function measure(stack: Stack): Promise<Measurement> {
  await using database = await stack.database();
  const owner = database.owner(1);
  const quiet = users(QUIET_USERS);
  const channels = await createChannels(owner, [quiet]);
  const [group] = await createChannels(owner, [users(MEMBERS)], MENTIONING);
  await owner`update channel_members set role = 'OWNER' where channel_id = ${group?.id ?? 0n} and user_id = 1`;
  const callerAt = await createCallers(stack, channels, quiet, QUIET_USERS);
  const token = authorization(await stack.tokens.sign({ userId: 1n, tenantId: MENTIONING }));
  await using service = await stack.service(database, { MENTION_ALL_PER_MINUTE: '0' });
  using client = new GrpcClient((await service.call('addresses')).grpc);

  const mention = (index: number) =>
    client.call(
      index,
      MessageService.method.sendMessage,
      encode(SendMessageRequestSchema, {
        channelId: group?.id ?? 0n,
        content: 'mọi người',
        mentionScope: MentionScope.CHANNEL,
        requestId: randomUUID(),
      }),
      token,
    );
  const sendAlone = () => p99AtRate(PER_SECOND, MESSAGES, (index) => client.send(index, callerAt(index)));
  const sendBeside = async () => {
    const [p99] = await Promise.all([sendAlone(), atRate(1, MENTIONS, mention)]);
    console.error(`  ${await countPending(owner)} of ${MENTIONS} mentions are not recorded completely yet`);
    await until(async () => (await countPending(owner)) === 0, 'the end of recording', DRAIN_MS);
    return p99;
  };
  await sendAlone();
  return await compare(NAME, 'ms', sendBeside, sendAlone);
}

async function countPending(owner: Pool): Promise<number> {
  const rows = await owner`select from pending_activities`;
  return rows.length;
}
