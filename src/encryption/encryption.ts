import { createHmac } from 'node:crypto';
import type { Logger } from 'pino';
import type { PendingQuery } from 'postgres';
import type { Config } from '../config.ts';
import type { Pool, Sql } from '../db/types.ts';
import { errors } from '../rpc/errors.ts';
import { lruCache } from '../rpc/lru.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { DataKeys } from './data-keys.ts';
import type { DataKey } from './envelope.ts';
import { type KeyEncryption, localKeyEncryption } from './key-encryption.ts';
import { findDataKeyId, hasDataKeys } from './sql.ts';

const REMEMBERED_CHANNELS = 100_000;
const KEY_ID_BYTES = 8;

type KeyIdRow = { readonly dataKeyId: bigint };
type Run = (statement: (sql: Sql) => PendingQuery<KeyIdRow[]>) => Promise<readonly KeyIdRow[]>;

/** The keys of encrypted channels, and which channels are encrypted. */
export class Encryption {
  readonly keys: DataKeys;
  readonly keyEncryption: KeyEncryption;
  readonly #pool: Pool;
  readonly #log: Logger;
  /** Data keys of channels; 0 for those that are not encrypted. A message with another key is rejected when it is posted. */
  readonly #channels = lruCache<bigint, bigint>(REMEMBERED_CHANNELS);
  #mayBeEncrypted: boolean;

  constructor(parts: { config: Config; pool: Pool; log: Logger; metrics: Metrics }) {
    this.#pool = parts.pool;
    this.#log = parts.log.child({ part: 'encryption' });
    this.keyEncryption = localKeyEncryption(parts.config.encryption.keys);
    this.#mayBeEncrypted = this.keyEncryption.currentKeyId !== undefined;
    this.keys = new DataKeys(parts.pool, this.keyEncryption, (dataKeyId, err) => {
      parts.metrics.encryptionKeyFailures.inc();
      this.#log.warn({ err, dataKeyId: `${dataKeyId}` }, 'the key of an encrypted channel is not available');
    });
  }

  /** Finds out whether channels may be encrypted although the configuration has no key. */
  async start(): Promise<void> {
    if (this.#mayBeEncrypted) return;
    const [row] = await hasDataKeys(this.#pool);
    this.#mayBeEncrypted = row?.found === true;
    if (this.#mayBeEncrypted) this.#log.error('channels are encrypted, but ENCRYPTION_KEYS is not set');
  }

  /**
   * The key with which a new message of a channel is encrypted; undefined in a channel that is not. Reads it with the
   * rights of the caller when the channel is first used. Throws for a channel that the caller does not see.
   */
  async keyOf(run: Run, tenantId: bigint, channelId: bigint): Promise<DataKey | undefined> {
    if (!this.#mayBeEncrypted) return undefined;
    let keyId = this.#channels.get(channelId);
    if (keyId === undefined) {
      keyId = await findKeyId(run, tenantId, channelId);
      this.#channels.set(channelId, keyId);
    }
    if (keyId === 0n) return undefined;
    const key = await this.#find(keyId);
    if (key?.channelId === channelId && key.tenantId === tenantId) return key;
    // Whether the key is available is visible only to users that see the channel.
    await findKeyId(run, tenantId, channelId);
    throw errors.encryptionKeyUnavailable(channelId);
  }

  /** The current key of a channel by its id; undefined for null. Throws if it is not available. */
  async keyById(keyId: bigint | null, channelId: bigint): Promise<DataKey | undefined> {
    if (keyId === null) return undefined;
    const key = await this.#find(keyId);
    if (key?.channelId !== channelId) throw errors.encryptionKeyUnavailable(channelId);
    return key;
  }

  /** Reads the key of a channel again before it is next used. */
  forget(channelId: bigint): void {
    this.#mayBeEncrypted = true;
    this.#channels.delete(channelId);
  }

  /** Encrypts a channel, which must be locked or new, from now on. */
  async enable(sql: Sql, tenantId: bigint, channelId: bigint): Promise<void> {
    this.requireConfigured();
    await this.keys.create(sql, tenantId, channelId);
    this.forget(channelId);
  }

  requireConfigured(): void {
    if (this.keyEncryption.currentKeyId === undefined) throw errors.encryptionNotConfigured();
  }

  /** The hash of a request, so that the stored one reveals nothing: an HMAC behind the id of its key. */
  protectHash(key: DataKey | undefined, hash: Buffer): Buffer {
    if (key === undefined) return hash;
    const id = Buffer.alloc(KEY_ID_BYTES);
    id.writeBigInt64BE(key.id);
    return Buffer.concat([id, createHmac('sha256', key.hashKey).update(hash).digest()]);
  }

  /** Whether a stored hash, protected or not, is that of a request. */
  async isSameHash(stored: Buffer, hash: Buffer, channelId: bigint): Promise<boolean> {
    if (stored.length === hash.length) return stored.equals(hash);
    const key = await this.keyById(stored.readBigInt64BE(0), channelId);
    return stored.equals(this.protectHash(key, hash));
  }

  async #find(keyId: bigint): Promise<DataKey | undefined> {
    await this.keys.load([keyId]);
    const key = this.keys.get(keyId);
    return key === 'unavailable' ? undefined : key;
  }
}

async function findKeyId(run: Run, tenantId: bigint, channelId: bigint): Promise<bigint> {
  const [row] = await run((sql) => findDataKeyId(sql, tenantId, channelId));
  if (row === undefined) throw errors.channelNotFound();
  return row.dataKeyId;
}
