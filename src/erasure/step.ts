import type { PendingQuery } from 'postgres';
import type { CallScope } from '../db/database.ts';
import type { Sql } from '../db/types.ts';

/** The longest time of a step. */
export const STEP_MS = 30_000;

/** The erasure of a user from some progress on. */
export type Erasure = {
  readonly tenantId: bigint;
  readonly userId: bigint;
  /** JSON text; `{}` at the beginning. */
  readonly progress: string;
  /** Records progress in the transaction of a step; fails if the erasure must not continue. */
  readonly advance: (
    sql: Sql,
    progress: string,
    counts: Readonly<Record<string, number>>,
  ) => PendingQuery<object[]>;
  readonly isClosed: () => boolean;
};

/** A step acts as a service of the tenant. */
export function toScope(tenantId: bigint): CallScope {
  const caller = { kind: 'service', tenantId, userId: 0n, name: '', roles: new Set<string>() } as const;
  return { caller, signal: AbortSignal.timeout(STEP_MS), deadline: Date.now() + STEP_MS };
}
