import type { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import type { Handlers } from '../rpc/call.ts';
import { keyHandlers } from './keys.ts';
import { previewPurge, purge, type RetentionResult } from './purge.ts';
import { type JobDeps, ruleHandlers } from './rules.ts';
import { dropEmptyPartitions, dropOldEvents, ensurePartitions, pruneRequestIds, purgeEvents } from './sql.ts';

type JobHandlers = Pick<
  Handlers<typeof AdminService>,
  | 'ensurePartitions'
  | 'runRetention'
  | 'listRetentionRuns'
  | 'setRetention'
  | 'listRetentionRules'
  | 'startKeyRotation'
  | 'listKeyRotations'
>;

const PURGE_MS = 5_000;

/** RPCs that run a job immediately. */
export function jobRoutes(deps: JobDeps): JobHandlers {
  const { config, db, relay, storage } = deps;
  return {
    ...ruleHandlers(deps),
    ...keyHandlers(deps),

    async ensurePartitions(_request, call) {
      const end = performance.now() + PURGE_MS;
      const isClosed = () => call.signal.aborted || performance.now() > end;
      return { createdPartitions: await ensurePartitions(db.log, isClosed) };
    },

    async runRetention({ validateOnly }, call) {
      if (validateOnly) return toCounts(await previewPurge({ db, config, storage }));
      const dropped = await db.run(call, (sql) => dropOldEvents(sql, config.event.retentionDays));
      const end = performance.now() + PURGE_MS;
      const isClosed = () => call.signal.aborted || performance.now() > end;
      const events = await purgeEvents(db.log, { config, isClosed });
      const pruned = await pruneRequestIds(db.log, { config, isClosed });
      const purged = await purge({ db, relay, storage, config, log: call.log, isClosed });
      const empty = await dropEmptyPartitions(db.log, isClosed);
      return {
        droppedPartitions: [...dropped.map((day) => day.dropped), ...empty],
        removedEventCount: events,
        prunedRequestIdCount: pruned,
        ...toCounts(purged),
        alreadyRunning: purged === undefined,
      };
    },
  };
}

function toCounts(result: RetentionResult | undefined) {
  return {
    removedMessageCount: result?.messages ?? 0,
    removedChannelRowCount: result?.channels ?? 0,
    removedActivityCount: result?.activities ?? 0,
    archivedChannelCount: result?.archived ?? 0,
    exportedMessageCount: result?.exported ?? 0,
  };
}
