import type { Pool } from '../db/types.ts';
import { errors } from '../rpc/errors.ts';
import { chunks } from './online-cache.ts';
import { type ChosenRow, listChosen, type UserKey } from './sql.ts';

const MAX_WAITING = 50_000;

type Waiting = UserKey & {
  readonly resolve: (choice: string) => void;
  readonly reject: (error: unknown) => void;
};

/**
 * Reads what users chose to be shown as, for the copy in Redis. Users who appear at the same time, as after a
 * restart, share a statement: while one runs the next collects.
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
      throw errors.overloaded('too many presence updates are queued', 1_000);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ tenantId, userId, resolve, reject });
      // What comes in the same tick joins.
      if (!this.#reading) queueMicrotask(() => void this.#readAll());
    });
  }

  async #readAll(): Promise<void> {
    if (this.#reading) return;
    this.#reading = true;
    while (this.#waiting.length > 0) {
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const some of chunks(waiting)) await this.#readSome(some);
    }
    this.#reading = false;
  }

  async #readSome(some: readonly Waiting[]): Promise<void> {
    try {
      const rows = await listChosen(this.#pool, some);
      const found = new Map(rows.map((row) => [`${row.tenantId}:${row.userId}`, toStatusOverride(row)]));
      for (const { tenantId, userId, resolve } of some)
        resolve(found.get(`${tenantId}:${userId}`) ?? NOTHING_CHOSEN);
    } catch (error) {
      for (const { reject } of some) reject(error);
    }
  }
}

const NOTHING_CHOSEN = 'ONLINE 0 0';

/** A choice as the script of cache.ts takes it. */
export function toStatusOverride({ status, expiresAt, updatedAt }: Omit<ChosenRow, 'statusText'>): string {
  return `${status} ${expiresAt ?? 0n} ${updatedAt}`;
}
