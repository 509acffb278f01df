import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ActivitySchema } from '#gen/serp/discuss/v1/activity_pb.ts';
import type { EntityRefSchema } from '#gen/serp/discuss/v1/channel_pb.ts';
import { parseExactly } from '../db/exact-json.ts';
import { fromMetadataJson } from '../db/metadata.ts';
import { toTimestamp } from '../db/time.ts';
import type { Relay } from '../event/relay.ts';
import type { Caller } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import type { ActivityRow } from './sql.ts';

type RecordedActivity = Omit<ActivityRow, 'occurrences' | 'version'> & {
  readonly tenantId: bigint;
  readonly userId: bigint;
  readonly occurrences: bigint;
  readonly version: bigint;
};

export function toActivity(row: ActivityRow): MessageInitShape<typeof ActivitySchema> {
  return {
    id: row.id,
    activityTime: toTimestamp(row.timestamp),
    type: row.actionType,
    actorId: row.actorId,
    title: row.title ?? '',
    description: row.description,
    entity: toEntity(row),
    channelId: row.channelId ?? 0n,
    messageId: row.messageId ?? 0n,
    preview: row.preview ?? '',
    messageDeleted: row.isMessageDeleted,
    read: row.isRead,
    readTime: toTimestamp(row.readAt),
    count: row.occurrences,
    version: row.version,
    collapseKey: row.collapseKey ?? '',
    metadata: fromMetadataJson(row.metadata),
  };
}

function toEntity({
  entityType,
  entityId,
}: Pick<ActivityRow, 'entityType' | 'entityId'>): MessageInitShape<typeof EntityRefSchema> | undefined {
  return entityType === null || entityId === null ? undefined : { type: entityType, id: entityId };
}

/**
 * Signals the activities that a function recorded or removed to the streams of their users, and returns their number.
 * To be called after the commit.
 */
export function signalActivities(relay: Relay, json: string | null | undefined): number {
  if (json === null || json === undefined) return 0;
  const recorded = parseExactly<RecordedActivity[]>(json);
  relay.signalAll(
    recorded.map(({ tenantId, userId, occurrences, version, ...row }) => ({
      tenantId,
      userId,
      payload:
        occurrences === 0n
          ? ({ case: 'activityRemoved', value: { activityId: row.id } } as const)
          : ({
              case: 'activity',
              value: toActivity({ ...row, occurrences: Number(occurrences), version: Number(version) }),
            } as const),
    })),
  );
  return recorded.length;
}

const MAX_SIGNAL_IDS = 1_000;

/** Signals the activities that became read to the streams of the caller. To be called after the commit. */
export function signalRead(relay: Relay, { tenantId, userId }: Caller, ids: readonly bigint[]): void {
  if (ids.length === 0) return;
  const activityIds = ids.slice(0, MAX_SIGNAL_IDS);
  const more = ids.length > activityIds.length;
  relay.signal(tenantId, userId, { case: 'activitiesRead', value: { activityIds, more } });
}

/** Encodes the snapshot of a statement as an opaque token. It holds no secret and grants nothing. */
export function toSnapshotToken(snapshot: string): string {
  return Buffer.from(snapshot).toString('base64url');
}

/** Decodes a token into the text of a snapshot that PostgreSQL accepts. */
export function fromSnapshotToken(token: string): string | undefined {
  if (token === '') return undefined;
  const snapshot = Buffer.from(token, 'base64url').toString();
  if (!isSnapshot(snapshot)) throw errors.fieldInvalid('snapshot_token', 'was not returned by this service');
  return snapshot;
}

// Format: xmin:xmax:running,running,... with the running ids in ascending order, from xmin to below xmax.
function isSnapshot(text: string): boolean {
  const found = /^([1-9]\d{0,17}):([1-9]\d{0,17}):((?:[1-9]\d{0,17}(?:,[1-9]\d{0,17})*)?)$/.exec(text);
  if (found === null) return false;
  const [xmin, xmax, running] = [BigInt(found[1] ?? 0), BigInt(found[2] ?? 0), found[3] ?? ''];
  const ids = running === '' ? [] : running.split(',').map(BigInt);
  const inOrder = ids.every((id, index) => id > (ids[index - 1] ?? 0n) && id >= xmin && id < xmax);
  return xmin <= xmax && inOrder;
}
