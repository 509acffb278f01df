import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ActivitySchema } from '#gen/serp/discuss/v1/activity_pb.ts';
import { parseExactly } from '../db/exact-json.ts';
import { fromMetadataJson } from '../db/metadata.ts';
import { toTimestamp } from '../db/time.ts';
import type { Relay } from '../event/relay.ts';
import type { Caller } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import type { ActivityRow } from './sql.ts';

type RecordedActivity = Omit<ActivityRow, 'occurrences'> & {
  readonly tenantId: bigint;
  readonly userId: bigint;
  readonly occurrences: bigint;
};

export function toActivity(row: ActivityRow): MessageInitShape<typeof ActivitySchema> {
  return {
    id: row.id,
    activityTime: toTimestamp(row.timestamp),
    type: row.actionType,
    actorId: row.actorId,
    title: row.title ?? '',
    description: row.description,
    entityType: row.entityType ?? '',
    entityId: row.entityId ?? 0n,
    channelId: row.channelId ?? 0n,
    messageId: row.messageId ?? 0n,
    preview: row.preview ?? '',
    messageDeleted: row.isMessageDeleted,
    read: row.isRead,
    readTime: toTimestamp(row.readAt),
    count: row.occurrences,
    collapseKey: row.collapseKey ?? '',
    metadata: fromMetadataJson(row.metadata),
  };
}

/** Tells the streams of their users what a function has recorded or taken back; returns how much that was. After the commit. */
export function signalActivities(relay: Relay, json: string | null | undefined): number {
  if (json === null || json === undefined) return 0;
  const recorded = parseExactly<RecordedActivity[]>(json);
  relay.signalAll(
    recorded.map(({ tenantId, userId, occurrences, ...row }) => ({
      tenantId,
      userId,
      payload:
        occurrences === 0n
          ? ({ case: 'activityRemoved', value: { activityId: row.id } } as const)
          : ({
              case: 'activity',
              value: toActivity({ ...row, occurrences: Number(occurrences) }),
            } as const),
    })),
  );
  return recorded.length;
}

const SIGNALLED_IDS = 1_000;

/** Tells the streams of the caller which activities they have read, if any. After the commit. */
export function signalRead(relay: Relay, { tenantId, userId }: Caller, ids: readonly bigint[]): void {
  if (ids.length === 0) return;
  const activityIds = ids.slice(0, SIGNALLED_IDS);
  const more = ids.length > activityIds.length;
  relay.signal(tenantId, userId, { case: 'activitiesRead', value: { activityIds, more } });
}

/** Makes an opaque token of what a statement saw. It holds no secret and grants nothing. */
export function toSnapshotToken(snapshot: string): string {
  return Buffer.from(snapshot).toString('base64url');
}

/** Reads a token back into the text of a snapshot that PostgreSQL takes. */
export function fromSnapshotToken(token: string): string | undefined {
  if (token === '') return undefined;
  const snapshot = Buffer.from(token, 'base64url').toString();
  if (!isSnapshot(snapshot))
    throw errors.fieldInvalid('snapshot_token', 'is not a token this service gave out');
  return snapshot;
}

// xmin:xmax:running,running,... with the running ones in order from xmin to below xmax.
function isSnapshot(text: string): boolean {
  const found = /^([1-9]\d{0,17}):([1-9]\d{0,17}):((?:[1-9]\d{0,17}(?:,[1-9]\d{0,17})*)?)$/.exec(text);
  if (found === null) return false;
  const [xmin, xmax, running] = [BigInt(found[1] ?? 0), BigInt(found[2] ?? 0), found[3] ?? ''];
  const ids = running === '' ? [] : running.split(',').map(BigInt);
  const inOrder = ids.every((id, index) => id > (ids[index - 1] ?? 0n) && id >= xmin && id < xmax);
  return xmin <= xmax && inOrder;
}
