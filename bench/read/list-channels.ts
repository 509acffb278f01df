import { ChannelService, ListChannelsRequestSchema } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import type { Pool } from '../../src/db/types.ts';
import { type Benchmark, ratioAtMost, valueAtMost } from '../lib/benchmark.ts';
import { createChannels, users } from '../lib/channels.ts';
import { dropSearchIndex, fillChannels } from '../lib/fill.ts';
import { authorization, encode, GrpcClient } from '../lib/grpc-client.ts';
import { type Measurement, p50, RUNS, toMeasurement } from '../lib/measure.ts';
import { type BenchDatabase, type Stack, TENANT } from '../lib/stack.ts';
import { textAt } from '../lib/texts.ts';

const CHANNELS = 500;
const MESSAGES = 100;
const MEMBERS = 10;
const PAGE = 50;
const TEXTS = 200;
const CALLS = 60;

/**
 * Time of a page of 50 of a user's 500 channels, each with 100 unread messages, through the RPC; over the time of 50 rows
 * of the document's view user_channels on the document's tables, which has no mentions and shows the stored unread count.
 * Also the number of statements in a call, besides those that begin and end its transaction.
 */
export const listChannels: Benchmark = {
  name: 'list_channels',
  subject: 'read',
  isHeadline: true,
  goals: { list_channels_p50: ratioAtMost(2.5), list_channels_statements: valueAtMost(1) },
  run,
};

async function run(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  await using document = await stack.database('empty');
  const members = Array.from({ length: CHANNELS }, () => users(MEMBERS));
  const owner = database.owner(1);
  await dropSearchIndex(owner);
  await fillChannels(owner, await createChannels(owner, members), MESSAGES);
  const documentOwner = document.owner(1);
  await fillDocument(documentOwner, members);

  const count = await countStatements(owner, database);
  await using service = await stack.service(database);
  using client = new GrpcClient((await service.call('addresses')).grpc);
  const metadata = authorization(await stack.tokens.sign({ userId: 1n, tenantId: TENANT }));
  const request = encode(ListChannelsRequestSchema, { pageSize: PAGE });
  const listByRpc = () => client.call(0, ChannelService.method.listChannels, request, metadata);
  const listByView = () => documentOwner`
    select * from user_channels where user_id = 1 and tenant_id = ${TENANT} limit ${PAGE}
  `;
  const [values, baselines]: [number[], number[]] = [[], []];
  await p50(CALLS, listByRpc);
  await p50(CALLS, listByView);
  for (let run = 0; run < RUNS; run++) {
    values.push(await p50(CALLS, listByRpc));
    baselines.push(await p50(CALLS, listByView));
  }
  const before = await count();
  await p50(CALLS, listByRpc);
  // Rounded: a few background statements are not recognised by their text.
  const perCall = Math.round(((await count()) - before) / CALLS);
  return [
    toMeasurement('list_channels_p50', 'ms', values, baselines),
    toMeasurement('list_channels_statements', 'statements', [perCall], [1]),
  ];
}

/** Counts the service's statements, except those of background work. Must be called before the service connects. */
async function countStatements(owner: Pool, { name }: BenchDatabase): Promise<() => Promise<number>> {
  await owner`create extension if not exists pg_stat_statements`;
  await owner`alter database ${owner(name)} set pg_stat_statements.track = 'top'`;
  return async () => {
    const [row] = await owner<{ calls: number }[]>`
      select coalesce(sum(s.calls), 0)::int as calls
      from pg_stat_statements s
      join pg_roles r on r.oid = s.userid
      where s.dbid = (select oid from pg_database where datname = current_database())
        and r.rolname = 'discuss_bench'
        and s.query ~* '^\s*(with|select|insert|update|delete)'
        and s.query !~ 'set_config|_horizon|list_changed|settle_unread|learn_search|index_messages|record_|pg_snapshot|operations'
    `;
    return row?.calls ?? 0;
  };
}

async function fillDocument(sql: Pool, members: readonly (readonly bigint[])[]): Promise<void> {
  await sql.file(new URL('../lib/document.sql', import.meta.url).pathname).simple();
  await dropSearchIndex(sql);
  await createChannels(sql, members);
  const texts = JSON.stringify(Array.from({ length: TEXTS }, (_, index) => textAt(index)));
  await sql.begin(async (tx) => {
    await tx`set local session_replication_role = replica`;
    await tx`
      with given as materialized (select array(select json_array_elements_text(${texts}::text::json)) as texts)
      insert into messages (channel_id, sender_id, tenant_id, content, created_at, updated_at)
      select c, 100 + n % 5, ${TENANT}, g.texts[1 + (n * 7 + c) % ${TEXTS}], n * 1000 + c, 0
      from given g
      cross join generate_series(1, ${MESSAGES}::int) as n
      cross join generate_series(1, ${CHANNELS}::int) as c
    `;
    await tx`update channels set last_message_at = ${MESSAGES} * 1000 + id, message_count = ${MESSAGES}`;
    await tx`update channel_members set unread_count = ${MESSAGES}`;
  });
  await sql`vacuum analyze`;
}
