import type { PendingQuery } from 'postgres';
import type { Pool, Sql } from '../db/types.ts';

export type OperationRow = {
  readonly id: bigint;
  readonly tenantId: bigint;
  readonly kind: string;
  readonly userId: bigint;
  readonly createdAt: bigint;
  readonly createdBy: bigint;
  readonly updatedAt: bigint;
  readonly finishedAt: bigint | null;
  readonly state: 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'CANCELLED';
  /** An encoded google.rpc.Status. */
  readonly error: Buffer | null;
  /** JSON text. */
  readonly progress: string;
  /** JSON text. */
  readonly counts: string;
  readonly attempt: number;
  readonly instance: string;
};

/** A function that returns an operation returns a row of nulls if there is none. */
export type MaybeOperation = OperationRow | { readonly id: null };

function columns(sql: Sql) {
  return sql`
    o.id, o.tenant_id, o.kind, o.user_id, o.created_at, o.created_by, o.updated_at, o.finished_at, o.state, o.error,
    o.progress::text, o.counts::text, o.attempt, o.instance
  `;
}

/** Starts the erasure of a user, or returns the one that is in progress. */
export function startErasure(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  actorId: bigint,
): PendingQuery<MaybeOperation[]> {
  return sql<MaybeOperation[]>`
    select ${columns(sql)}
    from start_operation(${tenantId}, 'ERASE_USER', ${userId}, ${actorId}) as o
  `;
}

export function findOperation(sql: Sql, tenantId: bigint, operationId: bigint): PendingQuery<OperationRow[]> {
  return sql<OperationRow[]>`
    select ${columns(sql)}
    from find_operation(${tenantId}, ${operationId}) as o
  `;
}

/** Operations of a tenant before an id, newest first. */
export function listOperations(
  sql: Sql,
  tenantId: bigint,
  before: bigint,
  limit: number,
): PendingQuery<OperationRow[]> {
  return sql<OperationRow[]>`
    select ${columns(sql)}
    from list_operations(${tenantId}, ${before}, ${limit}) as o
    order by o.id desc
  `;
}

export function cancelOperation(
  sql: Sql,
  tenantId: bigint,
  operationId: bigint,
  actorId: bigint,
): PendingQuery<MaybeOperation[]> {
  return sql<MaybeOperation[]>`
    select ${columns(sql)}
    from cancel_operation(${tenantId}, ${operationId}, ${actorId}) as o
  `;
}

/** Claims an operation that no instance works on. Removes those that ended before `keepMs`; null: none. */
export function claimOperation(
  sql: Pool,
  instance: string,
  leaseMs: number,
  keepMs: bigint | null,
): PendingQuery<MaybeOperation[]> {
  return sql<MaybeOperation[]>`
    select ${columns(sql)}
    from claim_operation(${instance}, ${leaseMs}, ${keepMs}) as o
  `;
}

/** Records progress in the transaction of a step. Fails if the operation was cancelled or claimed by another instance. */
export function advanceOperation(
  sql: Sql,
  { id, attempt }: OperationRow,
  progress: string,
  counts: Readonly<Record<string, number>>,
  leaseMs: number,
): PendingQuery<object[]> {
  return sql`
    select advance_operation(
      ${id}, ${attempt}, ${progress}::text::jsonb, ${JSON.stringify(counts)}::text::jsonb, ${leaseMs}
    )
  `;
}

export function finishOperation(
  sql: Pool,
  { id, attempt }: OperationRow,
  state: 'SUCCEEDED' | 'FAILED',
  error: Uint8Array | null,
): PendingQuery<object[]> {
  const status = error === null ? null : Buffer.from(error);
  return sql`select finish_operation(${id}, ${attempt}, ${state}, ${status})`;
}

/** Lets any instance continue the operation after a delay. */
export function postponeOperation(
  sql: Pool,
  { id, attempt }: OperationRow,
  delayMs: number,
): PendingQuery<object[]> {
  return sql`select postpone_operation(${id}, ${attempt}, ${delayMs})`;
}
