import type { MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import type {
  ChannelService,
  ListChannelsRequestSchema,
  ListChannelsResponse_EntrySchema,
  UpdateChannelRequestSchema,
} from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { SystemNoticeKind } from '#gen/serp/discuss/v1/message_pb.ts';
import { signalActivities } from '../activity/view.ts';
import type { Deps } from '../deps.ts';
import { appendEvent } from '../event/log/sql.ts';
import { toMembership } from '../member/view.ts';
import { postNotices } from '../notice/sql.ts';
import type { News } from '../notice/view.ts';
import type { Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { fromPageToken, toPageToken } from '../rpc/page-token.ts';
import { lockVisible, rejectArchived, rejectDirect, requireRole, requireVisible } from './access.ts';
import { browseHandlers } from './browse.ts';
import { createDirect, createGroup } from './create.ts';
import { lifecycleHandlers } from './lifecycle.ts';
import { type ListPlace, type ListRow, listChannels } from './list-sql.ts';
import { toMetadataJson } from './metadata.ts';
import {
  type ChannelChange,
  type ChannelRow,
  type ChannelType,
  findChannel,
  findDirectChannel,
  updateChannel,
} from './sql.ts';
import { topicHandlers } from './topic.ts';
import { toChannel, toChannelChanged, toOwnMembership, toPreview, toTypeColumns } from './view.ts';

type ListRequest = MessageShape<typeof ListChannelsRequestSchema>;
type UpdateRequest = MessageShape<typeof UpdateChannelRequestSchema>;

export function channelRoutes(deps: Deps): Handlers<typeof ChannelService> {
  const { config, db, presence, relay } = deps;
  return {
    ...browseHandlers(deps),
    ...lifecycleHandlers(deps),
    ...topicHandlers(deps),

    async createChannel(request, call) {
      const { caller } = call;
      const { channel, events, activities } = await db.transaction(call, (sql) =>
        createGroup({ sql, caller, config }, request),
      );
      relay.publish(events);
      signalActivities(relay, activities);
      return { channel: toChannel(channel), membership: toOwnMembership(channel) };
    },

    async getOrCreateDirectChannel({ userId: otherId }, call) {
      const { caller } = call;
      const { tenantId, userId } = caller;
      const [found] = await db.run(call, (sql) => findDirectChannel(sql, tenantId, userId, otherId));
      const { channel, created, events } =
        found !== undefined
          ? { channel: found, created: false, events: [] }
          : await db.transaction(call, (sql) => createDirect({ sql, caller, config }, otherId));
      relay.publish(events);
      return { channel: toChannel(channel), membership: toOwnMembership(channel), created };
    },

    async getChannel({ channelId }, call) {
      const { tenantId, userId } = call.caller;
      const [found] = await db.run(call, (sql) => findChannel(sql, tenantId, userId, channelId));
      const channel = requireVisible(call.caller, found);
      return { channel: toChannel(channel), membership: toOwnMembership(channel), headSeq: channel.headSeq };
    },

    async listChannels(request, call) {
      const { tenantId, userId } = call.caller;
      if (request.entityId !== 0n && request.entityType === '')
        throw errors.fieldInvalid('entity_type', 'is required with entity_id');
      const size = request.pageSize === 0 ? 50 : request.pageSize;
      const filter = { ...request, types: toTypeColumns(request.types) };
      const place = toPlace(request);
      // Without anybody to ask who is online, members need not be read.
      const maxMembers = presence.isKnown ? config.presence.maxMembers : 0;
      const rows = await db.run(call, (sql) =>
        listChannels(sql, tenantId, userId, filter, place, size + 1, maxMembers),
      );
      const shown = rows.slice(0, size);
      const members = new Set(shown.flatMap(({ memberIds }) => memberIds ?? []));
      const online = await presence.filterOnline(tenantId, [...members]);
      return {
        entries: shown.map((row) => toEntry(row, online)),
        nextPageToken: toNextToken(shown, rows.length > size),
      };
    },

    async updateChannel(request, call) {
      const { caller } = call;
      const { tenantId, userId } = caller;
      const change = toChange(request);
      const { channel, events } = await db.transaction(call, async (sql) => {
        const before = await lockVisible(sql, call.caller, request.channelId);
        requireRole(call.caller, before, 'GUEST');
        rejectDirect(before);
        requireRole(call.caller, before, 'ADMIN');
        rejectArchived(before);
        refusePublicTopic(before.type, change);
        const [channel] = await updateChannel(sql, tenantId, request.channelId, change);
        if (channel === undefined) throw errors.channelNotFound();
        const events = await Promise.all([
          appendEvent(sql, channel.id, 'CHANNEL_CHANGED', userId, toChannelChanged(channel, userId, false)),
          ...postNotices({ sql, caller, config }, channel.id, ...toNews(before, channel)),
        ]);
        return { channel, events: events.flat() };
      });
      relay.publish(events);
      return { channel: toChannel(channel) };
    },
  };
}

function toEntry(
  row: ListRow,
  online: ReadonlySet<bigint> | undefined,
): MessageInitShape<typeof ListChannelsResponse_EntrySchema> {
  const { memberIds } = row;
  const isCounted = online !== undefined && memberIds !== null;
  return {
    channel: toChannel(row),
    membership: toMembership(row.id, row),
    lastMessage: toPreview(row),
    headSeq: row.headSeq,
    unreadMentionCount: row.unreadMentionCount,
    ...(isCounted ? { onlineMemberCount: memberIds.filter((id) => online.has(id)).length } : {}),
  };
}

function toPlace({ pageToken }: ListRequest): ListPlace | undefined {
  const keys = fromPageToken(pageToken, 3);
  if (keys === undefined) return undefined;
  const [pinned, lastMessageAt, id] = keys;
  return [pinned ?? 0n, lastMessageAt ?? -1n, id ?? 0n];
}

function toNextToken(shown: readonly ListRow[], hasNext: boolean): string {
  const last = shown.at(-1);
  return !hasNext || last === undefined ? '' : toPageToken([last.isPinned, last.lastMessageAt, last.id]);
}

function toChange(request: UpdateRequest): ChannelChange {
  const paths = new Set(request.updateMask?.paths);
  if (paths.size === 0) throw errors.fieldInvalid('update_mask', 'names no field');
  for (const path of paths) {
    if (!changeable.has(path))
      throw errors.fieldInvalid('update_mask', 'names a field that cannot be changed');
  }
  if (paths.has('name') && !/\S/.test(request.name)) throw errors.fieldInvalid('name', 'must not be blank');
  return {
    name: paths.has('name') ? request.name : undefined,
    description: paths.has('description') ? request.description : undefined,
    isPrivate: paths.has('private') ? request.private : undefined,
    metadata: paths.has('metadata') ? toMetadataJson('metadata', request.metadata) : undefined,
  };
}

function toNews(before: ChannelRow, after: ChannelRow): News[] {
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

const changeable: ReadonlySet<string> = new Set(['name', 'description', 'private', 'metadata']);

function refusePublicTopic(type: ChannelType, { isPrivate }: ChannelChange): void {
  if (type === 'TOPIC' && isPrivate === false)
    throw errors.fieldInvalid('private', 'a topic channel stays private');
}
