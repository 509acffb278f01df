import type { MessageShape } from '@bufbuild/protobuf';
import type { ChannelService, UpdateChannelRequestSchema } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { SystemNoticeKind } from '#gen/serp/discuss/v1/message_pb.ts';
import { signalActivities } from '../activity/view.ts';
import { toMetadataJson } from '../db/metadata.ts';
import type { Deps } from '../deps.ts';
import { appendEvent } from '../event/log/sql.ts';
import { postNotices } from '../notice/sql.ts';
import type { NoticeInit } from '../notice/view.ts';
import type { Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { requireEtag } from '../rpc/etag.ts';
import { maskPaths } from '../rpc/field-mask.ts';
import { lockVisible, rejectArchived, rejectDirect, requireRole, requireVisible } from './access.ts';
import { batchHandlers } from './batch.ts';
import { browseHandlers } from './browse.ts';
import { createDirect, createGroup } from './create.ts';
import { encryptionHandlers } from './encryption.ts';
import { lifecycleHandlers } from './lifecycle.ts';
import { listHandlers, type OnlineUsers } from './list.ts';
import { moveHandlers } from './move.ts';
import {
  type ChannelChange,
  type ChannelRow,
  type ChannelType,
  findChannel,
  findDirectChannel,
  updateChannel,
} from './sql.ts';
import { tenantHandlers } from './tenant.ts';
import { topicHandlers } from './topic.ts';
import { channelEtag, toChannel, toChannelChanged, toOwnMembership } from './view.ts';

type UpdateRequest = MessageShape<typeof UpdateChannelRequestSchema>;

export type ChannelDeps = Deps & { readonly presence: OnlineUsers };

export function channelRoutes(deps: ChannelDeps): Handlers<typeof ChannelService> {
  const { config, db, directory, encryption, relay } = deps;
  return {
    ...listHandlers(deps),
    ...batchHandlers(deps),
    ...browseHandlers(deps),
    ...lifecycleHandlers(deps),
    ...topicHandlers(deps),
    ...moveHandlers(deps),
    ...tenantHandlers(deps),
    ...encryptionHandlers(deps),

    async createChannel(request, call) {
      const { caller } = call;
      const users = await directory.lookUp(call, [caller.userId, ...request.memberUserIds]);
      const { channel, events, activities } = await db.transaction(call, (sql) =>
        createGroup({ sql, caller, config, users, encryption }, request),
      );
      relay.publish(call.caller.tenantId, events);
      signalActivities(relay, activities);
      return { channel: toChannel(channel), membership: toOwnMembership(channel) };
    },

    async getOrCreateDirectChannel({ userId: otherId, encrypted }, call) {
      const { caller } = call;
      const { tenantId, userId } = caller;
      const [found] = await db.run(call, (sql) => findDirectChannel(sql, tenantId, userId, otherId));
      if (found !== undefined)
        return { channel: toChannel(found), membership: toOwnMembership(found), created: false };
      const users = await directory.lookUp(call, [userId, otherId]);
      const { channel, created, events } = await db.transaction(call, (sql) =>
        createDirect({ sql, caller, config, users, encryption }, otherId, encrypted),
      );
      relay.publish(call.caller.tenantId, events);
      return { channel: toChannel(channel), membership: toOwnMembership(channel), created };
    },

    async getChannel({ channelId }, call) {
      const { tenantId, userId } = call.caller;
      const [found] = await db.run(call, (sql) => findChannel(sql, tenantId, userId, channelId));
      const channel = requireVisible(call.caller, found);
      return { channel: toChannel(channel), membership: toOwnMembership(channel), headSeq: channel.headSeq };
    },

    async updateChannel(request, call) {
      const { caller } = call;
      const { tenantId, userId } = caller;
      const change = toChange(request);
      const { channel, events } = await db.lockingTransaction(call, request.channelId, async (sql) => {
        const before = await lockVisible(sql, call.caller, request.channelId);
        requireRole(call.caller, before, 'GUEST');
        rejectDirect(before);
        requireRole(call.caller, before, 'ADMIN');
        rejectArchived(before);
        rejectPublicTopic(before.type, change);
        const [channel] = await updateChannel(sql, tenantId, request.channelId, change);
        if (channel === undefined) throw errors.channelNotFound();
        requireEtag(request.etag, channelEtag(before), channelEtag(channel));
        const events = await Promise.all([
          appendEvent(sql, channel.id, 'CHANNEL_CHANGED', userId, toChannelChanged(channel, userId, false)),
          ...postNotices({ sql, caller, config }, channel.id, ...toNotices(before, channel)),
        ]);
        return { channel, events: events.flat() };
      });
      relay.publish(call.caller.tenantId, events);
      return { channel: toChannel(channel) };
    },
  };
}

function toChange(request: UpdateRequest): ChannelChange {
  const paths = maskPaths(request.updateMask, ['name', 'description', 'private', 'metadata']);
  if (paths.has('name') && !/\S/.test(request.name)) throw errors.fieldInvalid('name', 'must not be blank');
  return {
    name: paths.has('name') ? request.name : undefined,
    description: paths.has('description') ? request.description : undefined,
    isPrivate: paths.has('private') ? request.private : undefined,
    metadata: paths.has('metadata') ? toMetadataJson('metadata', request.metadata) : undefined,
  };
}

function toNotices(before: ChannelRow, after: ChannelRow): NoticeInit[] {
  const { name, description, isPrivate } = after;
  const renamed = { kind: SystemNoticeKind.CHANNEL_RENAMED, name, previousName: before.name };
  const opened = isPrivate ? SystemNoticeKind.MADE_PRIVATE : SystemNoticeKind.MADE_PUBLIC;
  return [
    ...(name === before.name ? [] : [renamed]),
    ...((description ?? '') === (before.description ?? '')
      ? []
      : [{ kind: SystemNoticeKind.DESCRIPTION_CHANGED }]),
    ...(isPrivate === before.isPrivate ? [] : [{ kind: opened }]),
  ];
}

function rejectPublicTopic(type: ChannelType, { isPrivate }: ChannelChange): void {
  if (type === 'TOPIC' && isPrivate === false)
    throw errors.fieldInvalid('private', 'topic channels are always private');
}
