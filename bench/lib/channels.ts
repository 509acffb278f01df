import type { Pool } from '../../src/db/database.ts';
import { TENANT } from './stack.ts';

/** A channel and those of its members who take part. */
export type Channel = { readonly id: bigint; readonly members: readonly bigint[] };

/** Makes channels with these members, by plain SQL past the service. */
export async function createChannels(
  sql: Pool,
  members: readonly (readonly bigint[])[],
  tenantId = TENANT,
): Promise<Channel[]> {
  const rows = await sql<{ id: bigint }[]>`
    insert into channels (tenant_id, created_by, name, type, created_at, updated_at)
    select ${tenantId}, 1, 'Channel ' || n, 'GROUP', 0, 0
    from generate_series(1, ${members.length}) as n
    returning id
  `;
  const channels = rows.map(({ id }, index) => ({ id, members: members[index] ?? [] }));
  for (const channel of channels) await addMembers(sql, channel, tenantId);
  await sql`vacuum analyze`;
  return channels;
}

async function addMembers(sql: Pool, { id, members }: Channel, tenantId: bigint): Promise<void> {
  await sql`
    insert into channel_members (channel_id, user_id, tenant_id, joined_at, created_at, updated_at)
    select ${id}, user_id, ${tenantId}, 0, 0, 0
    from unnest(${sql.array([...members], 1016)}::bigint[]) as user_id
  `;
}

/** Ids of users `first`, `first + 1`, ... */
export function users(count: number, first = 1): bigint[] {
  return Array.from({ length: count }, (_, index) => BigInt(first + index));
}
