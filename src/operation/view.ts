import { create, fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { Code } from '#gen/google/rpc/code_pb.ts';
import { type Status, StatusSchema } from '#gen/google/rpc/status_pb.ts';
import type { EraseUserCountsSchema, OperationSchema } from '#gen/serp/discuss/v1/operation_pb.ts';
import { toTimestamp } from '../db/time.ts';
import type { OperationRow } from './sql.ts';

export function toOperation(row: OperationRow): MessageInitShape<typeof OperationSchema> {
  return {
    id: row.id,
    tenantId: row.tenantId,
    metadata: { case: 'eraseUser', value: { userId: row.userId, counts: toCounts(row.counts) } },
    done: row.finishedAt !== null,
    result: toResult(row),
    createTime: toTimestamp(row.createdAt),
    updateTime: toTimestamp(row.updatedAt),
    endTime: toTimestamp(row.finishedAt),
    creatorId: row.createdBy,
    instanceId: row.instance,
    attemptCount: row.attempt,
  };
}

type Result = NonNullable<MessageInitShape<typeof OperationSchema>['result']>;

function toResult({ state, error }: OperationRow): Result {
  switch (state) {
    case 'RUNNING':
      return { case: undefined };
    case 'SUCCEEDED':
      return { case: 'success', value: {} };
    case 'CANCELLED':
      return { case: 'error', value: { code: Code.CANCELLED, message: 'cancelled by an operator' } };
    case 'FAILED':
      return { case: 'error', value: toStatus(error) };
    default:
      return state satisfies never;
  }
}

function toStatus(error: Buffer | null): Status {
  return error === null
    ? create(StatusSchema, { code: Code.INTERNAL, message: 'internal error' })
    : fromBinary(StatusSchema, error);
}

function toCounts(json: string): MessageInitShape<typeof EraseUserCountsSchema> {
  const counts: Partial<Record<string, number>> = JSON.parse(json);
  const count = (name: string) => BigInt(counts[name] ?? 0);
  return {
    channelCount: count('channels'),
    messageCount: count('messages'),
    changedMessageCount: count('changed'),
    activityCount: count('activities'),
    uploadCount: count('uploads'),
    exportedObjectCount: count('exports'),
    exportedMessageCount: count('exportedMessages'),
  };
}
