import { setTimeout } from 'node:timers/promises';
import { durationMs } from '@bufbuild/protobuf/wkt';
import type { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { OperationSchema } from '#gen/serp/discuss/v1/operation_pb.ts';
import type { Deps } from '../deps.ts';
import { previewErasure } from '../erasure/sql.ts';
import type { Call, Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { fromPageToken, pageOfItems } from '../rpc/page-token.ts';
import {
  cancelOperation,
  findOperation,
  listOperations,
  type MaybeOperation,
  type OperationRow,
  startErasure,
} from './sql.ts';
import { toOperation } from './view.ts';

export type OperationHandlers = Pick<
  Handlers<typeof AdminService>,
  'eraseUser' | 'getOperation' | 'listOperations' | 'waitOperation' | 'cancelOperation'
>;

const LAST = 0x7fff_ffff_ffff_ffffn;
const PREVIEW_LIMIT = 100_000;
const LONGEST_WAIT_MS = 60_000;
// Before the deadline, so that the response arrives.
const RESPONSE_MS = 500;
const FIRST_DELAY_MS = 50;
const LAST_DELAY_MS = 1_000;

export function operationRoutes(deps: Deps): OperationHandlers {
  const { db } = deps;
  const find = async (call: Call, tenantId: bigint, operationId: bigint) => {
    const [row] = await db.run(call, (sql) => findOperation(sql, tenantId, operationId));
    return requireFound(row);
  };
  return {
    async eraseUser({ tenantId, userId, validateOnly }, call) {
      const [preview] = await db.run(call, (sql) => previewErasure(sql, tenantId, userId, PREVIEW_LIMIT));
      if (preview === undefined) throw new Error('preview_erasure returned no row');
      if (preview.holdId !== null) throw errors.legalHold(tenantId, preview.holdId);
      const { channels, messages, activities, uploads } = preview;
      if (validateOnly)
        return {
          counts: {
            channelCount: channels,
            messageCount: messages,
            activityCount: activities,
            uploadCount: uploads,
          },
        };
      const [row] = await db.run(call, (sql) => startErasure(sql, tenantId, userId, call.caller.userId));
      // The one in progress has ended at this moment.
      if (row === undefined || row.id === null) throw errors.conflict();
      return { operation: toOperation(row) };
    },

    async getOperation({ tenantId, operationId }, call) {
      return { operation: toOperation(await find(call, tenantId, operationId)) };
    },

    async listOperations({ tenantId, pageSize, pageToken }, call) {
      const before = fromPageToken(pageToken, 1)?.[0] ?? LAST;
      const rows = await db.run(call, (sql) => listOperations(sql, tenantId, before, pageSize + 1));
      const { items, nextPageToken } = pageOfItems(rows, pageSize, OperationSchema, toOperation, (last) => [
        last.id,
      ]);
      return { operations: items, nextPageToken };
    },

    async waitOperation({ tenantId, operationId, timeout }, call) {
      const longest = timeout === undefined ? LONGEST_WAIT_MS : durationMs(timeout);
      const end = Math.min(deps.now() + longest, (call.deadline ?? Number.POSITIVE_INFINITY) - RESPONSE_MS);
      let isDraining = false;
      call.onDrain(() => {
        isDraining = true;
      });
      for (let delay = FIRST_DELAY_MS; ; delay = Math.min(2 * delay, LAST_DELAY_MS)) {
        const row = await find(call, tenantId, operationId);
        const left = end - deps.now();
        if (row.finishedAt !== null || left <= 0 || isDraining) return { operation: toOperation(row) };
        await setTimeout(Math.min(delay, left), undefined, { signal: call.signal });
      }
    },

    async cancelOperation({ tenantId, operationId }, call) {
      const [row] = await db.run(call, (sql) =>
        cancelOperation(sql, tenantId, operationId, call.caller.userId),
      );
      return { operation: toOperation(requireFound(row)) };
    },
  };
}

function requireFound(row: MaybeOperation | undefined): OperationRow {
  if (row === undefined || row.id === null)
    throw errors.fieldInvalid('operation_id', 'is not an operation of the tenant');
  return row;
}
