import type { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import type { Deps } from '../deps.ts';
import type { Handlers } from '../rpc/call.ts';
import { purge } from './purge.ts';
import { dropOldEvents, ensurePartitions, pruneRequestIds } from './sql.ts';

type JobHandlers = Pick<Handlers<typeof AdminService>, 'ensurePartitions' | 'runRetention'>;

const PURGE_MS = 5_000;

/** RPCs that run a job immediately. */
export function jobRoutes({ config, db, relay }: Deps): JobHandlers {
  return {
    async ensurePartitions(_request, call) {
      const rows = await db.run(call, ensurePartitions);
      return { createdPartitions: rows.map(({ made }) => made) };
    },

    async runRetention(_request, call) {
      const dropped = await db.run(call, (sql) => dropOldEvents(sql, config.event.retentionDays));
      const end = performance.now() + PURGE_MS;
      const isClosed = () => call.signal.aborted || performance.now() > end;
      const pruned = await pruneRequestIds(db.log, { config, isClosed });
      const purged = await purge({ db, relay, config, log: call.log, isClosed });
      return {
        droppedPartitions: dropped.map((day) => day.dropped),
        prunedRequestIdCount: pruned,
        removedMessageCount: purged.messages,
        removedChannelRowCount: purged.channels,
        removedActivityCount: purged.activities,
        archivedChannelCount: purged.archived,
      };
    },
  };
}
