import type { Pool } from '../db/types.ts';
import { errors } from '../rpc/errors.ts';
import { batches } from './online-cache.ts';
import { listStatusOverrides, type StatusOverrideRow, type UserKey } from './sql.ts';

const MAX_WAITING = 50_000;
const NO_OVERRIDE = 'ONLINE 0 0';

type Waiting = UserKey & {
  readonly resolve: (override: string) => void;
  readonly reject: (error: unknown) => void;
};

/**
 * Reads status overrides for the copies in Redis. Users who come online at the same time, as after a restart, share a
 * statement: while one statement runs, the next batch collects.
 */
export class StatusOverrides {
  readonly #pool: Pool;
  #waiting: Waiting[] = [];
  #reading = false;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  read(tenantId: bigint, userId: bigint): Promise<string> {
    if (this.#waiting.length >= MAX_WAITING)
      throw errors.overloaded('too many presence updates are queued', MAX_WAITING, 1_000);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ tenantId, userId, resolve, reject });
      // Reads of the same tick join the batch.
      if (!this.#reading) queueMicrotask(() => void this.#readAll());
    });
  }

  async #readAll(): Promise<void> {
    if (this.#reading) return;
    this.#reading = true;
    while (this.#waiting.length > 0) {
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const batch of batches(waiting)) await this.#readBatch(batch);
    }
    this.#reading = false;
  }

  async #readBatch(batch: readonly Waiting[]): Promise<void> {
    try {
      const rows = await listStatusOverrides(this.#pool, batch);
      const found = new Map(rows.map((row) => [`${row.tenantId}:${row.userId}`, formatOverride(row)]));
      for (const { tenantId, userId, resolve } of batch)
        resolve(found.get(`${tenantId}:${userId}`) ?? NO_OVERRIDE);
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }
}

/** A status override as an argument of change-presence.lua. */
export function formatOverride({
  status,
  expiresAt,
  updatedAt,
}: Omit<StatusOverrideRow, 'statusText'>): string {
  return `${status} ${expiresAt ?? 0n} ${updatedAt}`;
}
