import assert from 'node:assert/strict';
import type { Channel } from '#gen/serp/discuss/v1/channel_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { App, As } from './app.ts';

export type Entity = readonly [type: string, id: bigint];

const crm: As = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };

/** Entities, and what their discussions are moved and read with, in an app that may be opened later. */
export function topicFixture(the: () => App) {
  let entities = 100n;

  const channels = (as: As, instance = 0) => the().client(ChannelService, as, 'grpc', instance);
  const members = (as: As) => the().client(MemberService, as);
  const messages = (as: As) => the().client(MessageService, as);
  const some = (type: string): Entity => [type, entities++];
  const open = ([type, id]: Entity, memberUserIds: bigint[] = [], instance = 0) =>
    channels(crm, instance).getOrCreateTopicChannel({
      entity: { type, id },
      name: type,
      memberUserIds,
    });
  const make = async (entity: Entity, ...userIds: bigint[]) =>
    (await open(entity, userIds)).channel?.id ?? 0n;
  const move = (from: Entity, to: Entity, requestId = '', as: As = crm, instance = 0) =>
    channels(as, instance).moveTopic({
      fromEntity: { type: from[0], id: from[1] },
      toEntity: { type: to[0], id: to[1] },
      requestId,
    });
  const send = async (as: As, channelId: bigint, content: string) => {
    await messages(as).sendMessage({ channelId, content });
  };
  const entityOf = (channel: Channel | undefined): Entity => [
    channel?.entity?.type ?? '',
    channel?.entity?.id ?? 0n,
  ];
  const texts = async (as: As, channelId: bigint) =>
    (await messages(as).listMessages({ channelId })).messages.map(({ content }) => content);
  const listed = async (as: As, [type, id]: Entity, archived = false) =>
    (await channels(as).listChannels({ entity: { type, id }, archived })).entries.map(
      ({ channel }) => channel?.id,
    );
  const roles = async (channelId: bigint) =>
    (await members(crm).listMembers({ channelId })).members.map(({ userId, role }) => [userId, role]);
  /** That all these entities lead to a channel, and none makes another. */
  const lead = async (channelId: bigint, current: Entity, ...all: Entity[]) => {
    for (const entity of all) {
      const { channel, created, redirected } = await open(entity, [], 1);
      assert.deepEqual([channel?.id, created], [channelId, false], `${entity}`);
      assert.deepEqual(entityOf(channel), current);
      assert.equal(redirected, String(entity) !== String(current));
    }
  };
  return { channels, members, messages, some, open, make, move, send, entityOf, texts, listed, roles, lead };
}
