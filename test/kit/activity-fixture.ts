import { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { App, As } from './app.ts';

/** Users, what they do to get activities, and their lists of activities, in an app that may be opened later. */
export function activityFixture(the: () => App) {
  let users = 100;

  const someone = (name: string, tenantId = 1n): As => ({ userId: BigInt(users++), tenantId, name });
  const activityClient = (as: As, instance = 0) => the().client(ActivityService, as, 'grpc', instance);
  const messages = (as: As) => the().client(MessageService, as);
  const list = async (as: As) => (await activityClient(as).listActivities({})).activities;
  const typesOf = async (as: As) => (await list(as)).map(({ type }) => type);

  /** A private group of Lan and others, whose additions are not in the feeds. */
  const group = async (lan: As, ...others: As[]) => {
    const memberUserIds = others.map(({ userId }) => userId);
    const { channel } = await the()
      .client(ChannelService, lan)
      .createChannel({ name: 'Kho vận', private: true, memberUserIds });
    const channelId = channel?.id ?? 0n;
    await the().owner`delete from activity_feed where channel_id = ${channelId}`;
    return channelId;
  };
  const send = async (as: As, channelId: bigint, content = 'tin', more: object = {}) => {
    const { message } = await messages(as).sendMessage({ channelId, content, ...more });
    return message?.id ?? 0n;
  };
  const mention = (as: As, channelId: bigint, ...users: As[]) =>
    send(as, channelId, 'xem này', { mentionUserIds: users.map(({ userId }) => userId) });
  const task = (users: As[], more: object = {}) => ({
    userIds: users.map(({ userId }) => userId),
    type: 'TASK_ASSIGNED',
    entity: { type: 'task', id: 7n },
    description: 'Việc mới',
    ...more,
  });
  return { someone, activityClient, messages, list, typesOf, group, send, mention, task };
}
