import { createHmac, createSecretKey, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Pool, Sql } from '../db/types.ts';
import type { DataKey } from './envelope.ts';
import { type KeyEncryption, KeyUnavailable, type WrappedKey } from './key-encryption.ts';
import { addDataKey, type DataKeyRow, findDataKeys, nextDataKeyId } from './sql.ts';

const KEY_BYTES = 32;
const CACHED_KEYS = 20_000;
const CACHE_MS = 3_600_000;
// Until a key that could not be obtained is tried again.
const RETRY_MS = 5_000;

/** The data keys of channels, in memory after their first use. */
export class DataKeys {
  readonly #pool: Pool;
  readonly #keyEncryption: KeyEncryption;
  readonly #onUnavailable: (keyId: bigint, cause: unknown) => void;
  readonly #cached = new LRUCache<bigint, DataKey | 'unavailable'>({ max: CACHED_KEYS, ttl: CACHE_MS });
  readonly #loading = new Map<bigint, Promise<void>>();

  constructor(
    pool: Pool,
    keyEncryption: KeyEncryption,
    onUnavailable: (keyId: bigint, cause: unknown) => void,
  ) {
    this.#pool = pool;
    this.#keyEncryption = keyEncryption;
    this.#onUnavailable = onUnavailable;
  }

  /** A key that was loaded; `unavailable` if that failed, undefined if it was not loaded. */
  get(id: bigint): DataKey | 'unavailable' | undefined {
    return this.#cached.get(id);
  }

  /** Loads keys, so that `get` finds them. Rejects only if the database cannot be read. */
  async load(ids: Iterable<bigint>): Promise<void> {
    const missing = [...new Set(ids)].filter((id) => !this.#cached.has(id));
    const unread = missing.filter((id) => !this.#loading.has(id));
    if (unread.length > 0) {
      const loading = this.#read(unread).finally(() => {
        for (const id of unread) this.#loading.delete(id);
      });
      for (const id of unread) this.#loading.set(id, loading);
    }
    await Promise.all(missing.map((id) => this.#loading.get(id)));
  }

  /** Creates a key for a channel and stores it, which encrypts the channel unless it is encrypted. */
  async create(sql: Sql, tenantId: bigint, channelId: bigint): Promise<void> {
    const row = await this.wrapNew(sql, tenantId, channelId);
    await addDataKey(sql, row);
  }

  /** A new key for a channel that is not stored yet. */
  async wrapNew(sql: Sql, tenantId: bigint, channelId: bigint): Promise<DataKeyRow> {
    const [next] = await nextDataKeyId(sql);
    const owner = { id: next?.id ?? 0n, tenantId, channelId };
    const bytes = randomBytes(KEY_BYTES);
    const wrapped = await this.#keyEncryption.wrap(bytes, contextOf(owner));
    bytes.fill(0);
    return { ...owner, keyId: wrapped.keyId, wrappedKey: wrapped.bytes };
  }

  /** A stored key, encrypted with the current key of the configuration. */
  async rewrap(row: DataKeyRow): Promise<WrappedKey> {
    const context = contextOf(row);
    const bytes = await this.#keyEncryption.unwrap({ keyId: row.keyId, bytes: row.wrappedKey }, context);
    const wrapped = await this.#keyEncryption.wrap(bytes, context);
    bytes.fill(0);
    return wrapped;
  }

  async #read(ids: readonly bigint[]): Promise<void> {
    const rows = await findDataKeys(this.#pool, ids);
    await Promise.all(rows.map((row) => this.#unwrap(row)));
    // Also a key that does not exist: a restored database may have lost it.
    for (const id of ids) if (!this.#cached.has(id)) this.#fail(id, new KeyUnavailable('no such data key'));
  }

  async #unwrap(row: DataKeyRow): Promise<void> {
    try {
      const wrapped = { keyId: row.keyId, bytes: row.wrappedKey };
      const bytes = await this.#keyEncryption.unwrap(wrapped, contextOf(row));
      this.#cached.set(row.id, toDataKey(row, bytes));
      bytes.fill(0);
    } catch (error) {
      this.#fail(row.id, error);
    }
  }

  #fail(id: bigint, error: unknown): void {
    this.#cached.set(id, 'unavailable', { ttl: RETRY_MS });
    this.#onUnavailable(id, error);
  }
}

type Owner = Pick<DataKeyRow, 'id' | 'tenantId' | 'channelId'>;

function toDataKey({ id, tenantId, channelId }: Owner, bytes: Buffer): DataKey {
  const hashKey = createHmac('sha256', bytes).update('request-hash').digest();
  return { id, tenantId, channelId, key: createSecretKey(bytes), hashKey: createSecretKey(hashKey) };
}

/** What a wrapped key is bound to. */
function contextOf({ id, tenantId, channelId }: Owner): Buffer {
  return Buffer.from(`data-key:${tenantId}:${channelId}:${id}`);
}
