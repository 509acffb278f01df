import type { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import type { Deps } from '../deps.ts';
import { oldestRequestMs } from '../jobs/jobs.ts';
import { purge } from '../jobs/purge.ts';
import { dropOldEvents, ensurePartitions, pruneRequestIds } from '../jobs/sql.ts';
import type { Handlers } from '../rpc/call.ts';
import { fromPageToken, toPageToken } from '../rpc/page-token.ts';
import { listStats, reconcileCounters } from './sql.ts';

const PURGE_MS = 5_000;

export function adminRoutes({ config, db, relay, now }: Deps): Handlers<typeof AdminService> {
  return {
    async reconcileCounters({ tenantId, pageSize, pageToken }, call) {
      const limit = pageSize === 0 ? 200 : pageSize;
      const after = fromPageToken(pageToken, 1)?.[0] ?? 0n;
      const rows = await db.run(call, (sql) => reconcileCounters(sql, tenantId, after, limit));
      const next = rows[0]?.nextAfter ?? null;
      return {
        counters: rows.map(({ kind, checked, mended }) => ({
          name: kind,
          checkedCount: checked,
          repairedCount: mended,
        })),
        nextPageToken: next === null ? '' : toPageToken([next]),
      };
    },

    async getStats(_request, call) {
      const rows = await db.run(call, listStats);
      return {
        tenantCount: rows[0]?.tenants ?? 0n,
        tables: rows.map(({ name, rowsEstimate, bytes }) => ({
          name,
          estimatedRowCount: rowsEstimate,
          byteCount: bytes,
        })),
      };
    },

    async ensurePartitions(_request, call) {
      const rows = await db.run(call, ensurePartitions);
      return { createdPartitions: rows.map(({ made }) => made) };
    },

    async runRetention(_request, call) {
      const dropped = await db.run(call, (sql) => dropOldEvents(sql, config.event.retentionDays));
      const [row] = await db.run(call, (sql) => pruneRequestIds(sql, oldestRequestMs(config, now())));
      const end = performance.now() + PURGE_MS;
      const isClosed = () => call.signal.aborted || performance.now() > end;
      const purged = await purge({ db, relay, config, log: call.log, now, isClosed });
      return {
        droppedPartitions: dropped.map((day) => day.dropped),
        prunedRequestIdCount: row?.pruned ?? 0,
        removedMessageCount: purged.messages,
        removedChannelRowCount: purged.channels,
        removedActivityCount: purged.activities,
        archivedChannelCount: purged.archived,
      };
    },
  };
}
