import { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { SearchService } from '#gen/serp/discuss/v1/search_service_pb.ts';
import { activityRoutes } from './activity/rpc.ts';
import { adminRoutes } from './admin/rpc.ts';
import { channelRoutes } from './channel/rpc.ts';
import type { Deps } from './deps.ts';
import { eventRoutes } from './event/rpc.ts';
import { memberRoutes } from './member/rpc.ts';
import { messageRoutes } from './message/rpc.ts';
import { presenceRoutes } from './presence/rpc.ts';
import { type Route, route } from './rpc/call.ts';
import { searchRoutes } from './search/rpc.ts';

/** Everything the service answers to, on both edges. */
export function routes(deps: Deps): Route[] {
  return [
    route(ChannelService, channelRoutes(deps)),
    route(MemberService, memberRoutes(deps)),
    route(MessageService, messageRoutes(deps)),
    route(SearchService, searchRoutes(deps)),
    route(ActivityService, activityRoutes(deps)),
    route(PresenceService, presenceRoutes(deps)),
    route(EventService, eventRoutes(deps)),
    route(AdminService, adminRoutes(deps)),
  ];
}
