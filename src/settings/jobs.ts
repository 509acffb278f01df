import type { Reader } from './reader.ts';

/** Settings of housekeeping. */
export function jobsSettings(read: Reader) {
  return {
    retention: {
      deletedDays: read.count(
        'RETENTION_DELETED_DAYS',
        'days until deleted messages and channels are removed permanently',
        90,
      ),
      activityDays: read.count('RETENTION_ACTIVITY_DAYS', 'days that activities are kept', 365),
      inactiveDays: read.count(
        'RETENTION_INACTIVE_DAYS',
        'days without a message or another change until a group is archived',
        180,
      ),
      intervalMs: read.count('RETENTION_INTERVAL_MS', 'interval of these three', 3_600_000),
    },
    operation: {
      pollMs: read.count(
        'OPERATION_POLL_MS',
        'interval at which an instance looks for operations to start or to resume (EraseUser)',
        1_000,
      ),
      keepDays: read.count('OPERATION_KEEP_DAYS', 'days that an operation is kept after its end', 30),
    },
    maintenance: {
      intervalMs: read.count(
        'MAINTENANCE_INTERVAL_MS',
        'interval at which partitions are created and dropped and old request ids removed',
        60_000,
      ),
    },
  };
}
