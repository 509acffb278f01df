import { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { SearchService } from '#gen/serp/discuss/v1/search_service_pb.ts';
import { ServerService } from '#gen/serp/discuss/v1/server_service_pb.ts';
import { activityRoutes } from './activity/rpc.ts';
import { adminRoutes } from './admin/rpc.ts';
import { reconcileRoutes } from './attachment/reconcile.ts';
import { type AttachmentDeps, attachmentRoutes } from './attachment/rpc.ts';
import { entityActivityRoutes } from './channel/entity-activities.ts';
import { type ChannelDeps, channelRoutes } from './channel/rpc.ts';
import { type EventDeps, eventRoutes } from './event/rpc.ts';
import { exportRoutes } from './export/rpc.ts';
import { jobRoutes } from './jobs/rpc.ts';
import { type MemberDeps, memberRoutes } from './member/rpc.ts';
import { listChannelStates } from './membership/sql.ts';
import { toChannelState } from './membership/view.ts';
import { type MessageDeps, messageRoutes } from './message/rpc.ts';
import { operationRoutes } from './operation/rpc.ts';
import { pinRoutes } from './pin/rpc.ts';
import { pollRoutes } from './poll/rpc.ts';
import { findPresence, OTHER_KIND } from './presence/find.ts';
import { type PresenceDeps, presenceRoutes } from './presence/rpc.ts';
import { type ReactionDeps, reactionRoutes } from './reaction/rpc.ts';
import { type Route, route } from './rpc/call.ts';
import { searchRoutes } from './search/rpc.ts';
import { serverRoutes } from './server/rpc.ts';
import { threadRoutes } from './thread/rpc.ts';

/** The dependencies of all features. */
export type RouteDeps = ChannelDeps &
  MemberDeps &
  MessageDeps &
  PresenceDeps &
  AttachmentDeps &
  ReactionDeps &
  Pick<EventDeps, 'hub' | 'tenantStreams'>;

/** The services that both edges serve. An RPC of a service may be implemented by another feature. */
export function routes(deps: RouteDeps): Route[] {
  return [
    route(ChannelService, channelRoutes(deps)),
    route(MemberService, memberRoutes(deps)),
    route(MessageService, {
      ...messageRoutes(deps),
      ...threadRoutes(deps),
      ...reactionRoutes(deps),
      ...pollRoutes(deps),
      ...pinRoutes(deps),
    }),
    route(AttachmentService, attachmentRoutes(deps)),
    route(SearchService, searchRoutes(deps)),
    route(ActivityService, { ...activityRoutes(deps), ...entityActivityRoutes(deps) }),
    route(PresenceService, presenceRoutes(deps)),
    route(EventService, eventRoutes(eventDeps(deps))),
    route(AdminService, {
      ...adminRoutes(deps),
      ...jobRoutes(deps),
      ...reconcileRoutes(deps),
      ...operationRoutes(deps),
      ...exportRoutes(deps),
    }),
    route(ServerService, serverRoutes(deps)),
  ];
}

// event/ is a layer below the features, so it receives their functions.
function eventDeps(deps: RouteDeps): EventDeps {
  return {
    config: deps.config,
    hub: deps.hub,
    relay: deps.relay,
    tenantStreams: deps.tenantStreams,
    openPresence: (caller, deviceId, kind) => deps.presence.open(caller, deviceId, kind || OTHER_KIND),
    findPresence: (call, userIds) => findPresence(deps, call, userIds),
    async listChannelStates(call, channelIds, after, limit) {
      const { tenantId, userId } = call.caller;
      const rows = await deps.db.run(call, (sql) =>
        listChannelStates(sql, tenantId, userId, channelIds, after, limit),
      );
      return rows.map(toChannelState);
    },
  };
}
