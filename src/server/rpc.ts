import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { ServerLimitsSchema, ServerService } from '#gen/serp/discuss/v1/server_service_pb.ts';
import type { Config } from '../config.ts';
import { toTimestamp } from '../db/time.ts';
import type { Deps } from '../deps.ts';
import { sharesOf } from '../limit/fair-slots.ts';
import type { Handlers } from '../rpc/call.ts';
import { CONTRACT_VERSION } from './contract-version.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

export function serverRoutes({ config, now }: Deps): Handlers<typeof ServerService> {
  const limits = toLimits(config);
  const features = { notices: config.channel.notices, encryption: config.encryption.keys.length > 0 };
  return {
    async getServerInfo() {
      return {
        contractVersion: CONTRACT_VERSION,
        serverTime: toTimestamp(BigInt(now())),
        limits,
        features,
      };
    },
  };
}

function toLimits({
  call,
  limits,
  write,
  channel,
  message,
  activity,
  event,
  presence,
  typing,
}: Config): MessageInitShape<typeof ServerLimitsSchema> {
  return {
    maxRequestBytes: call.maxMessageBytes,
    defaultDeadline: durationFromMs(call.defaultDeadlineMs),
    maxDeadline: durationFromMs(call.maxDeadlineMs),
    writesPerMinute: limits.sendPerMinute,
    readsPerMinute: limits.readPerMinute,
    searchesPerMinute: limits.searchPerMinute,
    streamOpensPerMinute: limits.streamOpensPerMinute,
    tenantCallsPerMinute: limits.tenantPerMinute,
    tenantBurst: durationFromMs(limits.tenantBurstMs),
    concurrentReads: sharesOf(call.reads).user,
    cancelledCallsPerMinute: limits.cancelledPerMinute,
    streamsPerUser: limits.streamsPerUser,
    streamsPerTenant: limits.streamsPerTenant,
    requestIdRetention: durationFromMs(write.requestIdHours * HOUR_MS),
    channelMembers: channel.maxMembers,
    channelPins: channel.maxPins,
    readersChannelMembers: channel.readersMaxMembers,
    mentionScopeChannelMembers: message.mentionAllMaxMembers,
    messageActivityChannelMembers: activity.messagesMaxMembers,
    editWindow: message.editWindowHours === 0 ? undefined : durationFromMs(message.editWindowHours * HOUR_MS),
    reactionKinds: message.maxReactions,
    reactionUsers: message.maxReactionUsers,
    heartbeatInterval: durationFromMs(event.heartbeatMs),
    replayEvents: event.replayEvents,
    eventRetention: durationFromMs(event.retentionDays * DAY_MS),
    presenceDevices: presence.maxDevices,
    presenceDeviceTtl: durationFromMs(presence.deviceTtlMs),
    presenceChannelMembers: presence.maxMembers,
    presenceChannels: presence.maxChannels,
    typingChannelMembers: typing.maxMembers,
    typingTtl: durationFromMs(typing.ttlMs),
    sendStreamRequests: write.streamInFlight,
    sendStreamBytes: event.streamBufferBytes,
  };
}
