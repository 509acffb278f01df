import type { PendingQuery } from 'postgres';
import type { Pool, Sql } from '../db/types.ts';

/** A data key as stored. */
export type DataKeyRow = {
  readonly id: bigint;
  readonly tenantId: bigint;
  readonly channelId: bigint;
  readonly keyId: string;
  readonly wrappedKey: Buffer;
};

export function findDataKeys(sql: Pool, ids: readonly bigint[]): PendingQuery<DataKeyRow[]> {
  return sql<DataKeyRow[]>`
    select id, tenant_id, channel_id, key_id, wrapped_key
    from find_channel_keys(${sql.array([...ids], 1016)})
  `;
}

export function nextDataKeyId(sql: Sql): PendingQuery<{ id: bigint }[]> {
  return sql<{ id: bigint }[]>`select nextval('channel_keys_id_seq') as id`;
}

/** Encrypts a channel, which must be locked or new, from now on. False if it is encrypted. */
export function addDataKey(
  sql: Sql,
  { id, channelId, keyId, wrappedKey }: Omit<DataKeyRow, 'tenantId'>,
): PendingQuery<{ added: boolean }[]> {
  return sql<{ added: boolean }[]>`
    select add_channel_key(${id}, ${channelId}, ${keyId}, ${wrappedKey}) as added
  `;
}

/** Data key of a channel that the caller sees; 0 if it is not encrypted. */
export function findDataKeyId(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
): PendingQuery<{ dataKeyId: bigint }[]> {
  return sql<{ dataKeyId: bigint }[]>`
    select coalesce(c.data_key_id, 0) as data_key_id
    from channels c
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
  `;
}

/** Whether any channel is encrypted. */
export function hasDataKeys(sql: Pool): PendingQuery<{ found: boolean }[]> {
  return sql<{ found: boolean }[]>`select has_channel_keys() as found`;
}
