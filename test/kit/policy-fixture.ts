import type postgres from 'postgres';

export type Caller = { readonly tenant: number; readonly user?: number; readonly role?: string };

/** Users 10 and 11 are in the private channel 100 of tenant 1; 10 alone is in the public 101; the same users of tenant 2 are in 200. */
export const MEMBER: Caller = { tenant: 1, user: 10 };
export const STRANGER: Caller = { tenant: 1, user: 12 };
export const OTHER_TENANT: Caller = { tenant: 2, user: 10 };
export const SERVICE: Caller = { tenant: 1, role: 'service' };

/** Two tenants with the same users, and a row of each in the tables that callers read. */
export async function fillTenants(sql: postgres.Sql): Promise<void> {
  await sql.unsafe(`
    insert into channels (id, tenant_id, created_by, name, type, is_private, created_at, updated_at)
    values (100, 1, 10, 'kín', 'GROUP', true, 1, 1), (101, 1, 10, 'mở', 'GROUP', false, 1, 1),
      (200, 2, 10, 'kín', 'GROUP', true, 1, 1);
    insert into channel_members (channel_id, user_id, tenant_id, joined_at, created_at, updated_at)
    values (100, 10, 1, 1, 1, 1), (100, 11, 1, 1, 1, 1), (101, 10, 1, 1, 1, 1),
      (200, 10, 2, 1, 1, 1), (200, 11, 2, 1, 1, 1);
    insert into messages (id, channel_id, sender_id, tenant_id, content, created_at, updated_at)
    values (1000, 100, 10, 1, 'x', 1, 1), (1001, 101, 10, 1, 'x', 1, 1), (2000, 200, 10, 2, 'x', 1, 1);
    select setval('messages_id_seq', 3000);
    insert into channel_events (channel_id, seq, tenant_id, kind, created_at, payload)
    select id, 1, tenant_id, 'X', now_ms(), '' from channels;
    insert into attachments
      (message_id, channel_id, tenant_id, file_name, file_size, s3_key, s3_url, created_at, updated_at)
    select id, channel_id, tenant_id, 'a', 1, 'k', 'u', 1, 1 from messages;
    insert into activity_feed
      (tenant_id, user_id, action_type, actor_id, channel_id, description, "timestamp", created_at)
    select tenant_id, user_id, 'X', 1, channel_id, 'x', 1, 1 from channel_members where channel_id in (100, 200);
    insert into idempotency_keys (tenant_id, user_id, request_id, method, payload_hash, created_at)
    select tenant_id, user_id, gen_random_uuid(), 'X', '', 1 from channel_members where channel_id in (100, 200);
  `);
}

/** Runs a transaction of the service's role with the settings of a caller. */
export function asCaller<T>(
  service: postgres.Sql,
  caller: Caller,
  work: (sql: postgres.TransactionSql) => Promise<T>,
): Promise<T> {
  return service
    .begin(async (sql) => {
      await sql`
      select
        set_config('app.tenant_id', ${String(caller.tenant)}, true),
        set_config('app.user_id', ${String(caller.user ?? '')}, true),
        set_config('app.role', ${caller.role ?? 'user'}, true)
    `;
      return { value: await work(sql) };
    })
    .then(({ value }) => value);
}
