import { ChannelService, ListChannelsRequestSchema } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import type { Pool } from '../src/db/database.ts';
import { createChannels, users } from './lib/channels.ts';
import { fillChannels } from './lib/fill.ts';
import { authorization, encode, GrpcClient } from './lib/grpc-client.ts';
import { type Measurement, p50, RUNS, toMeasurement } from './lib/measure.ts';
import { type BenchDatabase, type Stack, TENANT } from './lib/stack.ts';
import { textAt } from './lib/texts.ts';

const CHANNELS = 500;
const MESSAGES = 100;
const MEMBERS = 10;
const PAGE = 50;
const TEXTS = 200;
const CALLS = 100;

/**
 * Time of a page of 50 of a user's 500 channels, each with 100 unread messages, through the RPC, over that of the
 * document's view user_channels on the document's tables: 50 rows of it, without mentions, and unread as stored. And
 * how many statements a call makes, besides those that begin and end its transaction.
 */
export async function listChannels(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  await using document = await stack.database('empty');
  const members = Array.from({ length: CHANNELS }, () => users(MEMBERS));
  const owner = database.owner(1);
  await fillChannels(owner, await createChannels(owner, members), MESSAGES);
  const documentOwner = document.owner(1);
  await fillDocument(documentOwner, members);

  const count = await countStatements(owner, database);
  await using service = await stack.service(database);
  using client = new GrpcClient((await service.ask('addresses')).grpc);
  const metadata = authorization(await stack.tokens.sign({ userId: 1n, tenantId: TENANT }));
  const request = encode(ListChannelsRequestSchema, { pageSize: PAGE });
  const ours = () => client.call(0, ChannelService.method.listChannels, request, metadata);
  const theirs = () => documentOwner`
    select * from user_channels where user_id = 1 and tenant_id = ${TENANT} limit ${PAGE}
  `;
  const [values, baselines]: [number[], number[]] = [[], []];
  await p50(CALLS, ours);
  await p50(CALLS, theirs);
  for (let run = 0; run < RUNS; run++) {
    values.push(await p50(CALLS, ours));
    baselines.push(await p50(CALLS, theirs));
  }
  const before = await count();
  await p50(CALLS, ours);
  const perCall = ((await count()) - before) / CALLS;
  return [
    toMeasurement('list_channels_p50', 'ms', values, baselines),
    toMeasurement('list_channels_statements', 'statements', [perCall], [1]),
  ];
}

/** Counts the service's statements but those of its background work; to be asked for before the service connects. */
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
        and s.query !~ 'set_config|_horizon|list_changed|settle_unread|learn_search'
    `;
    return row?.calls ?? 0;
  };
}

async function fillDocument(sql: Pool, members: readonly (readonly bigint[])[]): Promise<void> {
  await sql.file(new URL('document.sql', import.meta.url).pathname).simple();
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
