import { AdminService, RunRetentionRequestSchema } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import type { Pool } from '../../src/db/types.ts';
import { type Benchmark, ratioAtMost } from '../lib/benchmark.ts';
import { createCallers } from '../lib/callers.ts';
import { createChannels, users } from '../lib/channels.ts';
import { authorization, encode, GrpcClient } from '../lib/grpc-client.ts';
import { p99AtRate } from '../lib/load.ts';
import { compare, type Measurement } from '../lib/measure.ts';
import type { Stack } from '../lib/stack.ts';

const NAME = 'send_beside_purge';
const USERS = 20;
const PER_SECOND = 40;
const MESSAGES = 320;
// More than can be purged in one run.
const ROWS = 150_000;

/** p99 of sends while retention removes deleted messages without a pause, over p99 without. */
export const sendBesidePurge: Benchmark = {
  name: NAME,
  subject: 'retention',
  isHeadline: false,
  goals: { [NAME]: ratioAtMost(1.5) },
  run: async (stack) => [await measure(stack)],
};

async function measure(stack: Stack): Promise<Measurement> {
  await using database = await stack.database();
  const owner = database.owner(1);
  const [channel, ofDeleted] = await createChannels(owner, [users(USERS), users(1)]);
  if (channel === undefined || ofDeleted === undefined) throw new RangeError('there is no channel');
  const callerAt = await createCallers(stack, [channel], users(USERS), USERS);
  const operator = authorization(
    await stack.tokens.sign({ userId: 0n, tenantId: 0n, roles: ['discuss.admin'] }),
  );
  await using service = await stack.service(database, { RETENTION_INTERVAL_MS: '0' });
  using client = new GrpcClient((await service.call('addresses')).grpc);

  const send = () => p99AtRate(PER_SECOND, MESSAGES, (index) => client.send(index, callerAt(index)));
  const request = encode(RunRetentionRequestSchema, {});
  const purge = async (signal: AbortSignal) => {
    while (!signal.aborted) await client.call(0, AdminService.method.runRetention, request, operator);
  };
  const sendBeside = async () => {
    await insertDeleted(owner, ofDeleted.id);
    const stop = new AbortController();
    const purging = purge(stop.signal);
    const p99 = await send();
    stop.abort();
    await purging;
    const left = await countDeleted(owner, ofDeleted.id);
    console.error(`  ${ROWS - left} messages were purged`);
    await owner`delete from messages where channel_id = ${ofDeleted.id}`;
    return p99;
  };
  await send();
  return await compare(NAME, 'ms', sendBeside, send);
}

async function insertDeleted(owner: Pool, channelId: bigint): Promise<void> {
  await owner.begin(async (sql) => {
    // Without triggers, which would count each row.
    await sql`set local session_replication_role = replica`;
    await sql`
      insert into messages
        (channel_id, sender_id, tenant_id, content, is_deleted, deleted_at, created_at, updated_at, post_seq)
      select c.id, 1, c.tenant_id, 'đã xoá', true, now_ms() - 91 * 86400000::bigint - i, 1, 1, i
      from channels c
      cross join generate_series(1, ${ROWS}::int) as i
      where c.id = ${channelId}
    `;
  });
}

async function countDeleted(owner: Pool, channelId: bigint): Promise<number> {
  const [row] = await owner<{ n: number }[]>`
    select count(*)::int as n from messages where channel_id = ${channelId}
  `;
  return row?.n ?? 0;
}
