import type { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { toTimestamp } from '../db/time.ts';
import type { Deps } from '../deps.ts';
import type { Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { fromPageToken, toPageToken } from '../rpc/page-token.ts';
import { listStats, reconcileCounters } from './sql.ts';

type AdminHandlers = Pick<Handlers<typeof AdminService>, 'reconcileCounters' | 'getStats' | 'revokeAccess'>;

export function adminRoutes({ db, relay, revocations }: Deps): AdminHandlers {
  return {
    async reconcileCounters({ tenantId, pageSize, pageToken }, call) {
      const after = fromPageToken(pageToken, 1)?.[0] ?? 0n;
      const rows = await db.run(call, (sql) => reconcileCounters(sql, tenantId, after, pageSize));
      const next = rows[0]?.nextAfter ?? null;
      return {
        counters: rows.map(({ kind, checked, repaired }) => ({
          name: kind,
          checkedCount: checked,
          repairedCount: repaired,
        })),
        nextPageToken: next === null ? '' : toPageToken([next]),
      };
    },

    async revokeAccess({ subject }) {
      // Rejected by the validation of the request.
      if (subject.case === undefined) throw errors.fieldInvalid('subject', 'is required');
      const revokeTime = await revocations.revoke(subject);
      relay.revocationsChanged();
      return { revokeTime: toTimestamp(BigInt(revokeTime)) };
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
  };
}
