import { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { SearchService } from '#gen/serp/discuss/v1/search_service_pb.ts';
import type { As } from '../kit/app.ts';
import { PNG, putPart, upload, uploadOf } from '../kit/uploads.ts';
import type { Target } from './target.ts';
import type { Corpus, CorpusChannel } from './values.ts';

// Not 1, which is among the values that every field gets: RevokeAccess would end the access of all callers.
const TENANT = 7_001n;
const OTHER_TENANT = 7_002n;
const SERVICE = 'discuss.service';

export const owner: As = { userId: 501n, tenantId: TENANT };
const member: As = { userId: 502n, tenantId: TENANT };
const foreigner: As = { userId: 501n, tenantId: OTHER_TENANT };
const outsider: As = { userId: 503n, tenantId: TENANT };
const LARGEST_ID = 2n ** 63n - 1n;
const largest: As = { userId: LARGEST_ID, tenantId: TENANT };
export const service: As = { userId: 0n, tenantId: TENANT, roles: [SERVICE], tenants: [TENANT] };
export const operator: As = { userId: 0n, tenantId: 0n, roles: ['discuss.admin', 'discuss.export'] };
/** The owner more often than others, so that most calls are permitted. */
export const users: readonly As[] = [owner, owner, owner, owner, member, largest, outsider, foreigner];

/** Subjects that no caller has, for RevokeAccess. */
export const STRANGERS: Pick<Corpus, 'tenantIds' | 'userIds'> = { tenantIds: [9_001n], userIds: [9_501n] };

/** Fresh channels of two tenants with everything in them that a request can name. */
export async function createCorpus(target: Target): Promise<Corpus> {
  const own = await createChannels(target, owner);
  const foreign = await createChannels(target, foreigner);
  const tokens = [
    ...(await readTokens(target, owner, own)),
    ...(await readTokens(target, foreigner, foreign)),
  ];
  return {
    tenantIds: [TENANT, OTHER_TENANT],
    userIds: [501n, 502n, 502n, 503n, LARGEST_ID],
    // The owner's more often than those that most callers cannot read.
    channels: [
      ...Array<CorpusChannel[]>(5)
        .fill([...own.channels])
        .flat(),
      ...foreign.channels,
    ],
    activityIds: [...own.activityIds, ...foreign.activityIds],
    entityIds: [...own.entityIds, ...foreign.entityIds],
    tokens,
  };
}

type Created = Pick<Corpus, 'channels' | 'activityIds' | 'entityIds'>;

const GROUPS = 3;
const memberUserIds = [502n, LARGEST_ID];

let lastEntityId = 0n;

async function createChannels(target: Target, as: As): Promise<Created> {
  const channels = target.client(ChannelService, as);
  const services = target.client(ChannelService, { ...service, tenantId: as.tenantId });
  lastEntityId += 1n;
  const topic = {
    entity: { type: 'order', id: lastEntityId },
    name: 'Đơn hàng',
    memberUserIds: [501n, ...memberUserIds],
  };
  const opened = await Promise.all([
    // Several, because requests leave, archive and delete channels.
    ...Array.from({ length: GROUPS }, () => channels.createChannel({ name: 'Kho A', memberUserIds })),
    channels.createChannel({ name: 'Kho B', private: true, memberUserIds }),
    // Another user in each round: a direct channel exists once.
    channels.getOrCreateDirectChannel({ userId: 600n + lastEntityId }),
    services.getOrCreateTopicChannel(topic),
  ]);
  const ids = opened.flatMap(({ channel }) => channel?.id ?? []);
  const created = await Promise.all(ids.map((channelId) => fill(target, as, channelId)));
  const activities = await target.client(ActivityService, { ...as, userId: 502n }).listActivities({});
  const activityIds = activities.activities.map(({ id }) => id);
  return { channels: created, activityIds, entityIds: [lastEntityId] };
}

async function fill(target: Target, as: As, channelId: bigint): Promise<CorpusChannel> {
  const client = target.client(MessageService, as);
  const mention = { channelId, content: 'xin chào kho', mentionUserIds: [502n] };
  const { message } = await client.sendMessage(mention);
  const messageId = message?.id ?? 0n;
  const reply = await client.sendMessage({ ...mention, replyToMessageId: messageId });
  const poll = { options: ['một', 'hai'], anonymous: true };
  const posted = await client.sendMessage({ channelId, content: 'chọn', type: MessageType.POLL, poll });
  await client.addReaction({ channelId, messageId, emoji: '👍' });
  await client.pinMessage({ channelId, messageId });
  const pollId = posted.message?.id ?? 0n;
  return {
    channelId,
    messageIds: [messageId, reply.message?.id ?? 0n, pollId],
    pollIds: [pollId],
    attachmentIds: await createAttachments(target, as, channelId),
  };
}

/** A file, and one that is uploaded and not completed. */
async function createAttachments(target: Target, as: As, channelId: bigint): Promise<bigint[]> {
  const client = target.client(AttachmentService, as);
  const { id } = await upload(client, channelId, 'kho.png', PNG);
  const { attachment, parts } = await client.createUpload(uploadOf(channelId, 'kho.png', PNG));
  await putPart(parts[0], PNG);
  return [id, attachment?.id ?? 0n];
}

/** Tokens of several methods: each is valid for one caller, one method and its arguments. */
async function readTokens(target: Target, as: As, created: Created): Promise<string[]> {
  const page = { pageSize: 1 };
  const { channelId = 0n, messageIds: [rootMessageId = 0n] = [] } = created.channels[0] ?? {};
  const messages = target.client(MessageService, as);
  const channels = target.client(ChannelService, as);
  const responses = await Promise.all([
    messages.listMessages({ channelId, ...page }),
    messages.listThread({ channelId, rootMessageId, ...page }),
    target.client(MemberService, as).listMembers({ channelId, ...page }),
    channels.listChannels(page),
    channels.browseChannels({ query: 'Kho', ...page }),
    target.client(SearchService, as).searchMessages({ query: 'xin', ...page }),
    target.client(SearchService, as).searchChannels({ query: 'Kho', ...page }),
  ]);
  const counts = await target.client(ActivityService, as).getActivityCounts({});
  const tokens = [...responses.map(({ nextPageToken }) => nextPageToken), counts.snapshotToken];
  return [...tokens.filter((token) => token !== ''), await readCursor(target, as)];
}

async function readCursor(target: Target, as: As): Promise<string> {
  const events = target.client(EventService, { ...service, tenantId: as.tenantId });
  const abort = new AbortController();
  try {
    for await (const { cursor } of events.streamTenantEvents({ fromOldest: true }, { signal: abort.signal }))
      return cursor;
    return '';
  } finally {
    abort.abort();
  }
}
