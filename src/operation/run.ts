import { toBinary } from '@bufbuild/protobuf';
import type { Logger } from 'pino';
import postgres from 'postgres';
import { StatusSchema } from '#gen/google/rpc/status_pb.ts';
import type { Config } from '../config.ts';
import type { Sql } from '../db/types.ts';
import { type EraseParts, eraseUser } from '../erasure/erase.ts';
import { errors, RpcError } from '../rpc/errors.ts';
import { toStatusMessage } from '../rpc/status.ts';
import {
  advanceOperation,
  claimOperation,
  finishOperation,
  type OperationRow,
  postponeOperation,
} from './sql.ts';

const DAY_MS = 86_400_000n;
// Longer than any step.
const LEASE_MS = 60_000;
const MAX_ATTEMPTS = 12;

export type OperationParts = EraseParts & {
  readonly config: Config;
  readonly log: Logger;
  readonly isClosed: () => boolean;
};

/** Works on the operations of all tenants that no other instance works on, until none is left. */
export async function runOperations(parts: OperationParts): Promise<void> {
  const { db, config, isClosed } = parts;
  const { keepDays } = config.operation;
  const keepMs = keepDays === 0 ? null : BigInt(keepDays) * DAY_MS;
  while (!isClosed()) {
    const [row] = await claimOperation(db.log, config.instance, LEASE_MS, keepMs);
    if (row === undefined || row.id === null) return;
    await run(parts, row);
  }
}

async function run(parts: OperationParts, operation: OperationRow): Promise<void> {
  const { db, isClosed } = parts;
  const { tenantId, userId, progress } = operation;
  const advance = (sql: Sql, at: string, counts: Readonly<Record<string, number>>) =>
    advanceOperation(sql, operation, at, counts, LEASE_MS);
  try {
    const isDone = await eraseUser(parts, { tenantId, userId, progress, advance, isClosed });
    if (isDone) await finishOperation(db.log, operation, 'SUCCEEDED', null);
    else await postponeOperation(db.log, operation, 0);
  } catch (error) {
    await handleFailure(parts, operation, error);
  }
}

async function handleFailure(
  { db, log }: OperationParts,
  operation: OperationRow,
  cause: unknown,
): Promise<void> {
  const operationId = `${operation.id}`;
  // It was cancelled, or another instance continues it.
  if (cause instanceof postgres.PostgresError && cause.code === '40001') return;
  const isLast = operation.attempt >= MAX_ATTEMPTS;
  const isFinal = cause instanceof RpcError && cause.reasonName === 'LEGAL_HOLD';
  if (!isFinal && !isLast) {
    log.warn({ err: cause, operationId }, 'a step of an operation failed; retrying');
    await postponeOperation(db.log, operation, Math.min(LEASE_MS, 250 * 2 ** operation.attempt));
    return;
  }
  if (!isFinal) log.error({ err: cause, operationId }, 'an operation failed');
  const error = isFinal ? cause : errors.internal(`operation ${operationId}`);
  await finishOperation(
    db.log,
    operation,
    'FAILED',
    toBinary(StatusSchema, toStatusMessage(error, undefined)),
  );
}
