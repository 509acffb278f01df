import type { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { toTimestamp } from '../db/time.ts';
import type { Deps } from '../deps.ts';
import type { Call, Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { fromPageToken, toPageToken } from '../rpc/page-token.ts';
import { auditHandlers } from './audit.ts';
import { holdHandlers } from './hold.ts';
import {
  findStorageStats,
  findTenantStats,
  listLargestChannels,
  listStats,
  reconcileCounters,
} from './sql.ts';

const LARGEST_CHANNELS = 10;

type AdminHandlers = Omit<
  Handlers<typeof AdminService>,
  | 'reconcileAttachments'
  | 'ensurePartitions'
  | 'runRetention'
  | 'listRetentionRuns'
  | 'startKeyRotation'
  | 'listKeyRotations'
  | 'setRetention'
  | 'listRetentionRules'
  | 'eraseUser'
  | 'getOperation'
  | 'listOperations'
  | 'waitOperation'
  | 'cancelOperation'
  | 'exportChannel'
  | 'exportUser'
>;

export function adminRoutes(deps: Deps): AdminHandlers {
  const { db, relay, revocations } = deps;
  return {
    ...auditHandlers(deps),
    ...holdHandlers(deps),

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

    async getStats({ tenantId }, call) {
      const [rows, [storage], tenant] = await Promise.all([
        db.run(call, listStats),
        db.run(call, (sql) => findStorageStats(sql, tenantId)),
        tenantId === 0n ? undefined : tenantStats(deps, call, tenantId),
      ]);
      return {
        tenantCount: rows[0]?.tenants ?? 0n,
        tables: rows.map(({ name, rowsEstimate, bytes }) => ({
          name,
          estimatedRowCount: rowsEstimate,
          byteCount: bytes,
        })),
        storage: {
          byteCount: storage?.bytes ?? 0n,
          fileCount: storage?.files ?? 0n,
          pendingScanCount: storage?.pendingScans ?? 0n,
          queuedDeletionCount: storage?.queuedDeletions ?? 0n,
        },
        tenant,
      };
    },
  };
}

async function tenantStats({ db }: Deps, call: Call, tenantId: bigint) {
  const [[row], channels] = await Promise.all([
    db.run(call, (sql) => findTenantStats(sql, tenantId)),
    db.run(call, (sql) => listLargestChannels(sql, tenantId, LARGEST_CHANNELS)),
  ]);
  return {
    channelCount: row?.channels ?? 0n,
    membershipCount: row?.members ?? 0n,
    messageCount: row?.messages ?? 0n,
    dayPostCount: row?.posts1 ?? 0n,
    weekPostCount: row?.posts7 ?? 0n,
    monthPostCount: row?.posts30 ?? 0n,
    largestChannels: channels.map(({ channelId, messages, members }) => ({
      id: channelId,
      messageCount: BigInt(messages),
      memberCount: BigInt(members),
    })),
  };
}
