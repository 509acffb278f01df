import type { PendingQuery } from 'postgres';
import {
  type AdminService,
  RetentionRuleSchema,
  RetentionRunSchema,
} from '#gen/serp/discuss/v1/admin_service_pb.ts';
import type { Storage } from '../attachment/storage.ts';
import { toTimestamp } from '../db/time.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import type { Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { fromPageToken, pageOfItems } from '../rpc/page-token.ts';

type RuleHandlers = Pick<
  Handlers<typeof AdminService>,
  'listRetentionRuns' | 'setRetention' | 'listRetentionRules'
>;

export type JobDeps = Deps & { readonly storage: Storage };

const LAST = 0x7fff_ffff_ffff_ffffn;

export function ruleHandlers({ db, storage }: JobDeps): RuleHandlers {
  return {
    async listRetentionRuns({ pageSize, pageToken }, call) {
      const before = fromPageToken(pageToken, 1)?.[0] ?? LAST;
      const rows = await db.run(call, (sql) => listRuns(sql, before, pageSize + 1));
      const { items, nextPageToken } = pageOfItems(rows, pageSize, RetentionRunSchema, toRun, (last) => [
        last.id,
      ]);
      return { runs: items, nextPageToken };
    },

    async setRetention({ tenantId, channelId, ...days }, call) {
      const {
        deletedDays = null,
        activityDays = null,
        inactiveDays = null,
        exportDays = null,
        logDays = null,
      } = days;
      if (exportDays !== null && storage.bucket === '') throw errors.storageUnavailable();
      await db.run(
        call,
        (sql) =>
          sql`
            select set_retention_rule(
              ${tenantId}, ${channelId}, ${deletedDays}, ${activityDays}, ${inactiveDays}, ${exportDays}, ${logDays}
            )
          `,
      );
      return {};
    },

    async listRetentionRules({ tenantId, pageSize, pageToken }, call) {
      const after = fromPageToken(pageToken, 1)?.[0] ?? -1n;
      const rows = await db.run(call, (sql) => listRules(sql, tenantId, after, pageSize + 1));
      const { items, nextPageToken } = pageOfItems(rows, pageSize, RetentionRuleSchema, toRule, (last) => [
        last.channelId,
      ]);
      return { rules: items, nextPageToken };
    },
  };
}

type RunRow = {
  readonly id: bigint;
  readonly startedAt: bigint;
  readonly finishedAt: bigint | null;
  readonly instance: string;
  readonly attempt: number;
  readonly messages: bigint;
  readonly channels: bigint;
  readonly activities: bigint;
  readonly archived: bigint;
  readonly exported: bigint;
};

function toRun(row: RunRow) {
  return {
    id: row.id,
    startTime: toTimestamp(row.startedAt),
    endTime: toTimestamp(row.finishedAt),
    instanceId: row.instance,
    attemptCount: row.attempt,
    removedMessageCount: row.messages,
    removedChannelRowCount: row.channels,
    removedActivityCount: row.activities,
    archivedChannelCount: row.archived,
    exportedMessageCount: row.exported,
  };
}

type RuleRow = {
  readonly tenantId: bigint;
  readonly channelId: bigint;
  readonly deletedDays: number | null;
  readonly activityDays: number | null;
  readonly inactiveDays: number | null;
  readonly exportDays: number | null;
  readonly logDays: number | null;
};

function toRule({
  tenantId,
  channelId,
  deletedDays,
  activityDays,
  inactiveDays,
  exportDays,
  logDays,
}: RuleRow) {
  return {
    tenantId,
    channelId,
    ...(deletedDays === null ? {} : { deletedDays }),
    ...(activityDays === null ? {} : { activityDays }),
    ...(inactiveDays === null ? {} : { inactiveDays }),
    ...(exportDays === null ? {} : { exportDays }),
    ...(logDays === null ? {} : { logDays }),
  };
}

function listRuns(sql: Sql, before: bigint, limit: number): PendingQuery<RunRow[]> {
  return sql<RunRow[]>`
    select id, started_at, finished_at, instance, attempt, messages, channels, activities, archived, exported
    from list_retention_runs(${before}, ${limit})
  `;
}

function listRules(sql: Sql, tenantId: bigint, after: bigint, limit: number): PendingQuery<RuleRow[]> {
  return sql<RuleRow[]>`
    select tenant_id, channel_id, deleted_days, activity_days, inactive_days, export_days, log_days
    from list_retention_rules(${tenantId}, ${after}, ${limit})
  `;
}
