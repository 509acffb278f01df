import type { MessageShape } from '@bufbuild/protobuf';
import { ActivitySchema } from '#gen/serp/discuss/v1/activity_pb.ts';
import type {
  ActivityService,
  NewActivity,
  RecordActivitiesRequestSchema,
} from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { toMetadataJson } from '../db/metadata.ts';
import { hashRequest } from '../db/request-hash.ts';
import type { Deps } from '../deps.ts';
import type { Caller, Handlers } from '../rpc/call.ts';
import { requireTenant } from '../rpc/caller.ts';
import { errors } from '../rpc/errors.ts';
import { fromPageToken, pageOfItems } from '../rpc/page-token.ts';
import { markHandlers } from './mark.ts';
import { type ActivityPlace, countUnread, listActivities, type NewItem, recordActivities } from './sql.ts';
import { signalActivities, toActivity, toSnapshotToken } from './view.ts';

type RecordRequest = MessageShape<typeof RecordActivitiesRequestSchema>;

const MAX_RECIPIENTS = 10_000;

type ActivityHandlers = Omit<Handlers<typeof ActivityService>, 'listEntityActivities'>;

export function activityRoutes(deps: Deps): ActivityHandlers {
  const { db, relay } = deps;
  return {
    ...markHandlers(deps),

    async listActivities(request, call) {
      const { tenantId, userId } = call.caller;
      const size = request.pageSize;
      const after = toPlace(request.pageToken);
      const rows = await db.run(call, (sql) =>
        listActivities(sql, tenantId, userId, request, after, size + 1),
      );
      const activities = rows.flatMap((row) => (row.id === null ? [] : [row]));
      const { items, nextPageToken } = pageOfItems(activities, size, ActivitySchema, toActivity, (last) => [
        last.timestamp,
        last.id,
      ]);
      return {
        activities: items,
        nextPageToken,
        snapshotToken: toSnapshotToken(rows[0]?.snapshot ?? ''),
      };
    },

    async getActivityCounts(_request, call) {
      const { tenantId, userId } = call.caller;
      const rows = await db.run(call, (sql) => countUnread(sql, tenantId, userId));
      const entries = rows.flatMap(({ type, unread }) =>
        type === null ? [] : [{ type, unreadCount: unread }],
      );
      return {
        entries,
        unreadCount: entries.reduce((sum, { unreadCount }) => sum + unreadCount, 0),
        snapshotToken: toSnapshotToken(rows[0]?.snapshot ?? ''),
      };
    },

    async recordActivities(request, call) {
      const { caller } = call;
      requireTenant(caller);
      requireRecordable(request);
      const items = request.activities.map((activity, item) => toItem(caller, activity, item));
      const hash = hashRequest(request);
      const [row] = await db.run(call, (sql) => recordActivities(sql, items, request.requestId, hash));
      if (row?.errorReason === 'REQUEST_ID_REUSED') throw errors.requestIdReused();
      if (row?.errorReason === 'REPEATED') return { repeatedRequest: true };
      return { recordedCount: signalActivities(relay, row?.activities) };
    },
  };
}

function toPlace(pageToken: string): ActivityPlace | undefined {
  const keys = fromPageToken(pageToken, 2);
  return keys === undefined ? undefined : [keys[0] ?? 0n, keys[1] ?? 0n];
}

function requireRecordable({ activities }: RecordRequest): void {
  const users = activities.reduce((sum, { userIds }) => sum + userIds.length, 0);
  if (users > MAX_RECIPIENTS)
    throw errors.fieldInvalid('activities', `must have at most ${MAX_RECIPIENTS} user_ids in total`);
}

function toItem(caller: Caller, activity: NewActivity, item: number): NewItem {
  const { actorId, entity, channelId, title, collapseKey } = activity;
  return {
    item,
    userIds: activity.userIds.map(String),
    type: activity.type,
    actorId: (actorId === 0n ? caller.userId : actorId).toString(),
    entityType: entity?.type ?? null,
    entityId: entity?.id.toString() ?? null,
    channelId: channelId === 0n ? null : channelId.toString(),
    title: title === '' ? null : title,
    description: activity.description,
    metadata: toMetadataJson(`activities[${item}].metadata`, activity.metadata),
    collapseKey: collapseKey === '' ? null : collapseKey,
  };
}
