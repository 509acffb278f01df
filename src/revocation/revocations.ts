import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { RedisClient } from '../redis/client.ts';
import type { Identity } from '../rpc/claims.ts';
import { errors, type RpcError } from '../rpc/errors.ts';
import { createSigner } from '../rpc/signer.ts';
import { createRevocationCache, type Revocation, type RevocationCache } from './cache.ts';

const REFRESH_MS = 1_000;

/** What a revocation concerns. */
export type Subject =
  | { readonly case: 'user'; readonly value: { readonly tenantId: bigint; readonly userId: bigint } }
  | { readonly case: 'tenantId'; readonly value: bigint }
  | { readonly case: 'tokenId'; readonly value: string };

/**
 * The revocations of all instances. Every instance holds the list in memory, so that a check needs no round trip, and
 * reads it from Redis when it changed. Memory is authoritative: what Redis lost is written to it again.
 */
export class Revocations {
  readonly #entries = new Map<string, Revocation>();
  readonly #cache: RevocationCache;
  readonly #config: Config['auth'];
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout;
  // Undefined: unknown, so that the next exchange reads the list and writes what is missing from it.
  #version: string | undefined;
  #refreshing: Promise<void> | undefined;

  constructor(parts: { config: Config; redis: RedisClient; log: Logger; now: () => number }) {
    const { auth, secrets } = parts.config;
    const signer = createSigner(secrets.keys, 'revocation');
    this.#cache = createRevocationCache(parts.redis, signer, auth.maxRevocations);
    this.#config = auth;
    this.#log = parts.log.child({ part: 'revocations' });
    this.#now = parts.now;
    parts.redis.on('ready', () => void this.refresh());
    this.#timer = setInterval(() => void this.refresh(), REFRESH_MS).unref();
  }

  /** Whether the token, or the user or tenant for which it is used, was revoked after it was issued. */
  isRevoked({ tenantId, userId, token }: Identity): boolean {
    if (this.#entries.size === 0) return false;
    return (
      this.#concerns(tokenKey(token.id), 0) ||
      this.#concerns(tenantKey(token.tenantId), token.issueTime) ||
      this.#concerns(tenantKey(tenantId), token.issueTime) ||
      this.#concerns(userKey(tenantId, userId), token.issueTime)
    );
  }

  /** Revokes on this instance at once, and for the others in Redis. Returns the time until which tokens are revoked. */
  async revoke(subject: Subject): Promise<number> {
    const revokeTime = this.#now();
    const revocation = { revokeTime, expireTime: revokeTime + this.#maxTokenMs() };
    const key = toKey(subject);
    if (this.#entries.size >= this.#config.maxRevocations && !this.#entries.has(key)) throw this.#full();
    this.#entries.set(key, revocation);
    this.#log.info({ subject: key }, 'access revoked');
    const isStored = await this.#store([[key, revocation]]).catch((error) => {
      this.#version = undefined;
      throw errors.revocationPending(error);
    });
    if (!isStored) throw this.#full();
    return revokeTime;
  }

  /** Exchanges the list with Redis. Called every second, and when another instance reports a change. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#exchange()
      .catch((error) => this.#log.debug({ err: error }, 'the list of revocations was not read; retrying'))
      .finally(() => {
        this.#refreshing = undefined;
      });
    return this.#refreshing;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #exchange(): Promise<void> {
    const list = await this.#cache.read(this.#version);
    const now = this.#now();
    if (list === undefined) return;
    for (const [key, revocation] of list.entries) {
      const known = this.#entries.get(key)?.revokeTime ?? 0;
      if (revocation.revokeTime > known && revocation.expireTime > now) this.#entries.set(key, revocation);
    }
    const missing = [...this.#entries].filter(
      ([key, { revokeTime, expireTime }]) =>
        expireTime > now && revokeTime > (list.entries.get(key)?.revokeTime ?? 0),
    );
    if (missing.length > 0) await this.#store(missing);
    this.#version = list.version;
  }

  async #store(entries: [string, Revocation][]): Promise<boolean> {
    const now = this.#now();
    const expired = [...this.#entries].filter(([, { expireTime }]) => expireTime <= now).map(([key]) => key);
    for (const key of expired) this.#entries.delete(key);
    return this.#cache.add(entries, expired, this.#maxTokenMs());
  }

  #concerns(key: string, issueTime: number): boolean {
    const revocation = this.#entries.get(key);
    if (revocation === undefined || revocation.expireTime <= this.#now()) return false;
    return issueTime <= revocation.revokeTime + this.#config.clockToleranceMs;
  }

  #full(): RpcError {
    return errors.overloaded('revocations', this.#config.maxRevocations, 60_000);
  }

  #maxTokenMs(): number {
    return this.#config.maxTokenHours * 3_600_000 + this.#config.clockToleranceMs;
  }
}

function toKey(subject: Subject): string {
  switch (subject.case) {
    case 'user':
      return userKey(subject.value.tenantId, subject.value.userId);
    case 'tenantId':
      return tenantKey(subject.value);
    default:
      return tokenKey(subject.value);
  }
}

const userKey = (tenantId: bigint, userId: bigint) => `user:${tenantId}:${userId}`;
const tenantKey = (tenantId: bigint) => `tenant:${tenantId}`;
const tokenKey = (id: string) => `token:${id}`;
