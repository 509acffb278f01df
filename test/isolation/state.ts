import assert from 'node:assert/strict';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { ana, type Fixture, TENANT, type Victim } from './fixture.ts';

/** The rows of the victims' tenant that concern the victims, by table, and what `ana` reads of their presence. */
export type State = ReadonlyMap<string, readonly string[]>;

/**
 * Reads everything that is stored for the victims: rows of their channels, and rows of their members that belong to
 * no channel. Leaves out the rows of the given users.
 */
export async function readState(
  { app, direct, formerDirect, group, topic, publicGroup }: Fixture,
  also: Victim,
  exceptUserIds: readonly bigint[],
): Promise<State> {
  const victims = [direct, formerDirect, group, topic, publicGroup, also];
  const channelIds = victims.map(({ channelId }) => `${channelId}`);
  const messageIds = victims.flatMap(({ messageId, pollId }) => [`${messageId}`, `${pollId}`]);
  const tables = await tenantTables(app.owner);
  const ofTable = (table: string) => app.owner`
    select ${table} as table, r.body::text as text
    from ${app.owner(table)} t
    cross join lateral (select to_jsonb(t) as body) r
    cross join lateral (
      select
        coalesce(r.body->>'channel_id', case when ${table} = 'channels' then r.body->>'id' end) as channel,
        coalesce(r.body->>'message_id', r.body->>'root_id') as message
    ) k
    where t.tenant_id = ${TENANT}
      and case
        when k.channel is not null then k.channel = any(${channelIds})
        when k.message is not null then k.message = any(${messageIds})
        else r.body->>'user_id' in ('1', '2')
      end
      and coalesce(r.body->>'user_id' != all(${exceptUserIds.map(String)}), true)
  `;
  const rows = await app.owner<{ table: string; text: string }[]>`
    ${tables.map((table, index) => app.owner`${index === 0 ? app.owner`` : app.owner`union all`} ${ofTable(table)}`)}
    order by 1, 2
  `;
  const state = new Map(tables.map((table) => [table, [] as string[]]));
  for (const { table, text } of rows) state.get(table)?.push(text);
  const relations = await app.owner<{ name: string }[]>`
    select relname::text as name
    from pg_class
    where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
    order by 1
  `;
  state.set(
    'relations',
    relations.map(({ name }) => name),
  );
  const presence = await app.client(PresenceService, ana).getPresence({ userIds: [1n, 2n] });
  state.set(
    'presence',
    presence.users.map(({ userId, status, text }) => `${userId} ${status} ${text}`),
  );
  return state;
}

/** Asserts that two states are equal, and names the rows that are not. */
export function assertUnchanged(before: State, now: State): void {
  const without = (rows: State, other: State) =>
    [...rows].flatMap(([table, texts]) => {
      const known = new Set(other.get(table));
      return texts.filter((text) => !known.has(text)).map((text) => `${table}: ${text}`);
    });
  assert.deepEqual({ lost: without(before, now), added: without(now, before) }, { lost: [], added: [] });
}

async function tenantTables(owner: Fixture['app']['owner']): Promise<string[]> {
  const rows = await owner<{ name: string }[]>`
    select relname::text as name
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
    where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
      -- The sum of attachments, also of the victims that trials create.
      and relname != 'storage_usage'
    order by 1
  `;
  return rows.map(({ name }) => name);
}
