import type { Pool } from '../../src/db/types.ts';
import { TENANT } from './stack.ts';

const ROOM_MEMBERS = 10;

/** A channel and the members that take part. */
export type Channel = { readonly id: bigint; readonly members: readonly bigint[] };

/** Creates channels with these members by plain SQL, without the service. */
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
  await addMembers(sql, channels, tenantId);
  await sql`vacuum analyze`;
  return channels;
}

/** Members of rooms of ten: each of the users 1 to `users` is in about as many. */
export function roomMembers(rooms: number, users: number): bigint[][] {
  return Array.from({ length: rooms }, (_, room) =>
    Array.from({ length: ROOM_MEMBERS }, (_, place) => BigInt(((room + 7 * place) % users) + 1)),
  );
}

async function addMembers(sql: Pool, channels: readonly Channel[], tenantId: bigint): Promise<void> {
  const channelIds = channels.flatMap(({ id, members }) => members.map(() => id));
  const userIds = channels.flatMap(({ members }) => members);
  await sql`
    insert into channel_members (channel_id, user_id, tenant_id, joined_at, created_at, updated_at)
    select channel_id, user_id, ${tenantId}, 0, 0, 0
    from unnest(${sql.array(channelIds, 1016)}::bigint[], ${sql.array(userIds, 1016)}::bigint[]) as m(channel_id, user_id)
  `;
}

/** Ids of users `first`, `first + 1`, ... */
export function users(count: number, first = 1): bigint[] {
  return Array.from({ length: count }, (_, index) => BigInt(first + index));
}
