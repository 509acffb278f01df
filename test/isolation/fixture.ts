import { randomBytes } from 'node:crypto';
import { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { PresenceStatus } from '#gen/serp/discuss/v1/presence_pb.ts';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { type App, type As, app } from '../kit/app.ts';
import { indexed } from '../kit/indexed.ts';
import { freshStorage } from '../kit/storage.ts';
import { PNG, upload } from '../kit/uploads.ts';

/** Name and content of everything that outsiders must not see. */
export const SECRET = 'tuyệt mật';
/** Tenant of the victims. */
export const TENANT = 1n;

export const ana: As = { userId: 1n, tenantId: TENANT };
export const binh: As = { userId: 2n, tenantId: TENANT };
export const service: As = { userId: 0n, tenantId: TENANT, roles: ['discuss.service'] };
export const operator: As = { userId: 0n, tenantId: 0n, roles: ['discuss.admin'] };
/** A member of all victims except `direct`, until the membership ended. */
export const formerMember: As = { userId: 4n, tenantId: TENANT };
export const formerOwner: As = { userId: 5n, tenantId: TENANT };

/** A channel of `ana` with `binh` as a member, and everything in it that a request can name. */
export type Victim = {
  readonly channelId: bigint;
  /** First message of a thread, by `ana`: edited, pinned, with a reaction of `ana`. It mentions `binh`. */
  readonly messageId: bigint;
  /** Message of type POLL, by `ana`. */
  readonly pollId: bigint;
  /** File of a message of type IMAGE, by `ana`. */
  readonly attachmentId: bigint;
  /** Unread activities of `binh` in the channel. */
  readonly activityIds: readonly bigint[];
  /** Of CreateChannel, for a group. */
  readonly requestId: string;
  /** Of type `order`, for a topic. */
  readonly entityId: bigint;
};

export type Fixture = {
  readonly app: App;
  readonly group: Victim;
  readonly direct: Victim;
  /** Of `ana` and user 4, whose membership has ended. */
  readonly formerDirect: Victim;
  readonly topic: Victim;
  /** The only one that other users of the tenant can find. */
  readonly publicGroup: Victim;
  readonly newGroup: (isPrivate?: boolean) => Promise<Victim>;
  readonly newTopic: () => Promise<Victim>;
  readonly close: () => Promise<void>;
};

export async function openFixture(): Promise<Fixture> {
  // No other job changes the victims' rows, and a slow run does not let their presence expire.
  const storage = await freshStorage();
  const started = await app({
    ...storage.env,
    ENCRYPTION_KEYS: `k1=${randomBytes(32).toString('base64')}`,
    ATTACHMENT_PURGE_INTERVAL_MS: '0',
    UNREAD_UPDATE_INTERVAL_MS: '0',
    RETENTION_INTERVAL_MS: '0',
    MAINTENANCE_INTERVAL_MS: '0',
    ENCRYPTION_ROTATION_INTERVAL_MS: '0',
    PRESENCE_TTL_MS: '3600000',
    PRESENCE_DEVICE_TTL_MS: '1800000',
    PRESENCE_POLL_MS: '100',
    EVENT_HEARTBEAT_MS: '200',
  });
  const newGroup = (isPrivate = true) => createGroup(started, isPrivate);
  const newTopic = () => createTopic(started);
  const presence = started.client(PresenceService, ana);
  await presence.heartbeat({ device: { id: 'ana' } });
  await presence.setStatus({ status: PresenceStatus.BUSY, text: SECRET });
  const [group, topic, publicGroup] = [await newGroup(), await newTopic(), await newGroup(false)];
  const [direct, formerDirect] = [await createDirect(started, 2n), await createDirect(started, 4n)];
  const close = async () => {
    await started.close();
    await storage.close();
  };
  return { app: started, group, direct, formerDirect, topic, publicGroup, newGroup, newTopic, close };
}

/** A public group of `formerOwner` with a message of `binh` that mentions the owner in a thread. */
export async function createOwnedGroup({ app }: Fixture): Promise<Victim> {
  const { channel } = await app
    .client(ChannelService, formerOwner)
    .createChannel({ name: SECRET, memberUserIds: [binh.userId] });
  const channelId = channel?.id ?? 0n;
  const messages = app.client(MessageService, binh);
  const mention = { channelId, content: SECRET, mentionUserIds: [formerOwner.userId] };
  const { message } = await messages.sendMessage(mention);
  const messageId = message?.id ?? 0n;
  await messages.sendMessage({ ...mention, replyToMessageId: messageId });
  await indexed(app);
  return {
    channelId,
    messageId,
    pollId: messageId,
    attachmentId: messageId,
    activityIds: [],
    requestId: '',
    entityId: 0n,
  };
}

type Named = Pick<Victim, 'channelId' | 'requestId' | 'entityId'>;

let lastEntityId = 4_710n;

async function createGroup(app: App, isPrivate: boolean): Promise<Victim> {
  const requestId = crypto.randomUUID();
  const { channel } = await app.client(ChannelService, ana).createChannel(groupRequest(requestId, isPrivate));
  return fill(app, { channelId: channel?.id ?? 0n, requestId, entityId: 0n });
}

/** The request that created a group: repeated by its owner, it returns the group. */
export function groupRequest(requestId: string, isPrivate = true) {
  return { name: SECRET, private: isPrivate, memberUserIds: [2n, 4n], requestId };
}

async function createTopic(app: App): Promise<Victim> {
  lastEntityId += 1n;
  const entityId = lastEntityId;
  const { channel } = await app
    .client(ChannelService, { ...ana, roles: ['discuss.service'] })
    .getOrCreateTopicChannel({
      entity: { type: 'order', id: entityId },
      name: SECRET,
      memberUserIds: [2n, 4n],
    });
  return fill(app, { channelId: channel?.id ?? 0n, requestId: '', entityId });
}

async function createDirect(app: App, userId: bigint): Promise<Victim> {
  const { channel } = await app.client(ChannelService, ana).getOrCreateDirectChannel({ userId });
  return fill(app, { channelId: channel?.id ?? 0n, requestId: '', entityId: 0n });
}

/** Adds the content of a victim, then makes user 4 a former member. */
async function fill(app: App, named: Named): Promise<Victim> {
  const { channelId } = named;
  const messages = app.client(MessageService, ana);
  const mentionUserIds = [2n, 3n, 4n];
  const { message } = await messages.sendMessage({ channelId, content: 'nháp', mentionUserIds });
  const messageId = message?.id ?? 0n;
  const victim = { channelId, messageId };
  await messages.editMessage({ ...victim, content: SECRET, updateMask: { paths: ['content'] } });
  // The mention makes user 4 a follower of the thread.
  await messages.sendMessage({ channelId, content: SECRET, replyToMessageId: messageId, mentionUserIds });
  await messages.addReaction({ ...victim, emoji: '👍' });
  await messages.pinMessage(victim);
  const file = await upload(app.client(AttachmentService, ana), channelId, `${SECRET}.png`, PNG);
  await messages.sendMessage({ channelId, attachmentIds: [file.id] });
  const poll = { options: [SECRET, 'không'] };
  const { message: posted } = await messages.sendMessage({
    channelId,
    content: SECRET,
    type: MessageType.POLL,
    poll,
  });
  await indexed(app);
  await app.owner`
    update channel_members
    set status = 'LEFT'
    where channel_id = ${channelId} and user_id = 4
  `;
  const { activities } = await app.client(ActivityService, binh).listActivities({ unreadOnly: true });
  const own = activities.filter((activity) => activity.channelId === channelId);
  const ids = { messageId, pollId: posted?.id ?? 0n, attachmentId: file.id };
  return { ...named, ...ids, activityIds: own.map(({ id }) => id) };
}
