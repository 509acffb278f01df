import assert from 'node:assert/strict';
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { Code, type Transport } from '@connectrpc/connect';
import { BadRequestSchema } from '#gen/google/rpc/error_details_pb.ts';
import { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import {
  AttachmentService,
  ListAttachmentsRequest_Kind,
} from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { ChannelType } from '#gen/serp/discuss/v1/channel_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { SearchMessagesRequest_Order, SearchService } from '#gen/serp/discuss/v1/search_service_pb.ts';
import type { As } from '../kit/app.ts';
import { rejects } from '../kit/rejects.ts';
import { binh, operator, service, TENANT, type Victim } from './fixture.ts';

/** A list of an allowed caller that has more than one page, and its arguments. */
export type TokenTrial = {
  readonly method: DescMethodUnary;
  readonly by: As;
  /** Names of the arguments besides page size and token, by which the token is bound. */
  readonly argumentNames: readonly string[];
  /** First page: its token. */
  readonly firstToken: (transport: Transport, victim: Victim) => Promise<string>;
  /** Calls with a token and, if named, another value of one argument. */
  readonly next: (
    transport: Transport,
    victim: Victim,
    pageToken: string,
    changed?: string,
  ) => Promise<unknown>;
};

// Of a channel and a message that are not those of the first page.
const OTHER_ID = 2n;

const ENTITY = { type: 'order', id: 4_711n };

const message = ({ channelId, messageId }: Victim) => ({ channelId, messageId });
const time = (seconds: bigint) => ({ seconds, nanos: 0 });

export const tokenTrials: readonly TokenTrial[] = [
  listOf(ActivityService.method.listActivities, () => ({}), {
    unreadOnly: true,
    types: ['MENTION'],
    entityType: 'order',
    entity: ENTITY,
  }),
  listOf(
    ActivityService.method.listEntityActivities,
    ({ entityId }) => ({ entity: { type: 'order', id: entityId } }),
    { entity: { type: 'order', id: OTHER_ID } },
  ),
  listOf(AdminService.method.listAuditEvents, () => ({ tenantId: TENANT }), { tenantId: OTHER_ID }, operator),
  listOf(
    AdminService.method.listRetentionRules,
    () => ({ tenantId: TENANT }),
    { tenantId: OTHER_ID },
    operator,
  ),
  listOf(AdminService.method.listRetentionRuns, () => ({}), {}, operator),
  listOf(AdminService.method.listKeyRotations, () => ({}), {}, operator),
  listOf(
    AdminService.method.listHolds,
    () => ({ tenantId: TENANT }),
    { tenantId: OTHER_ID, includeReleased: true },
    operator,
  ),
  listOf(AdminService.method.listOperations, () => ({ tenantId: TENANT }), { tenantId: OTHER_ID }, operator),
  listOf(AdminService.method.reconcileCounters, () => ({}), { tenantId: 2n }, operator),
  listOf(AttachmentService.method.listAttachments, ({ channelId }) => ({ channelId }), {
    channelId: OTHER_ID,
    kind: ListAttachmentsRequest_Kind.IMAGE,
    uploaderId: 1n,
  }),
  listOf(ChannelService.method.listChannels, () => ({}), {
    types: [ChannelType.GROUP],
    pinnedOnly: true,
    unreadOnly: true,
    entityType: 'order',
    entity: ENTITY,
    archived: true,
  }),
  listOf(ChannelService.method.browseChannels, () => ({ query: 'tuyet' }), { query: 'mat' }),
  listOf(ChannelService.method.listTenantChannels, () => ({}), {}, service),
  listOf(ChannelService.method.listTrendingChannels, () => ({}), {}),
  listOf(MemberService.method.getUnreadSummary, () => ({}), {}),
  listOf(MemberService.method.listReaders, ({ channelId, pollId }) => ({ channelId, messageId: pollId }), {
    channelId: OTHER_ID,
    messageId: OTHER_ID,
  }),
  listOf(MessageService.method.listEdits, message, { channelId: OTHER_ID, messageId: OTHER_ID }),
  listOf(MessageService.method.listPins, ({ channelId }) => ({ channelId }), { channelId: OTHER_ID }),
  listOf(MessageService.method.listReactions, message, {
    channelId: OTHER_ID,
    messageId: OTHER_ID,
    emoji: '👍',
  }),
  listOf(MemberService.method.listMembers, ({ channelId }) => ({ channelId }), {
    channelId: OTHER_ID,
    former: true,
  }),
  listOf(MessageService.method.listMessages, ({ channelId }) => ({ channelId }), {
    channelId: OTHER_ID,
    position: { case: 'afterMessageId', value: 0n },
    withoutReplies: true,
  }),
  listOf(
    MessageService.method.listThread,
    ({ channelId, messageId }) => ({ channelId, rootMessageId: messageId }),
    { channelId: OTHER_ID, rootMessageId: OTHER_ID },
  ),
  listOf(MessageService.method.listThreads, () => ({}), { channelId: OTHER_ID, unreadOnly: true }),
  listOf(PresenceService.method.listOnline, ({ channelId }) => ({ channelId }), { channelId: OTHER_ID }),
  listOf(SearchService.method.searchMessages, () => ({ query: 'tuyet mat' }), {
    query: 'tuyet',
    channelIds: [1n],
    senderIds: [1n],
    types: [MessageType.TEXT],
    afterTime: time(1n),
    beforeTime: time(4_000_000_000n),
    hasAttachment: false,
    rootMessageId: 1n,
    order: SearchMessagesRequest_Order.NEWEST,
  }),
  listOf(SearchService.method.searchChannels, () => ({ query: 'tuyet' }), {
    query: 'mat',
    types: [ChannelType.GROUP],
    joinedOnly: true,
    includeArchived: true,
  }),
];

/** Asserts that a call is rejected because of its page token and nothing else. */
export async function rejectsToken(call: Promise<unknown>): Promise<void> {
  const error = await rejects(call, Code.InvalidArgument, 'FIELD_INVALID');
  const fields = error.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations);
  assert.deepEqual(
    fields.map(({ field }) => field),
    ['page_token'],
  );
}

function listOf<I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  request: (victim: Victim) => MessageInitShape<I>,
  others: MessageInitShape<I>,
  by = binh,
): TokenTrial {
  const call = async (transport: Transport, message: object): Promise<MessageShape<O>> => {
    const paged = { ...message, pageSize: 1 };
    return (await transport.unary<DescMessage, O>(method, undefined, 10_000, undefined, paged)).message;
  };
  return {
    method,
    by,
    argumentNames: Object.keys(others),
    async firstToken(transport, victim) {
      const token: unknown = Reflect.get(await call(transport, request(victim)), 'nextPageToken');
      assert.ok(typeof token === 'string' && token !== '', `${method} has only one page`);
      return token;
    },
    next(transport, victim, pageToken, changed) {
      const other = changed === undefined ? {} : { [changed]: Reflect.get(others, changed) };
      return call(transport, { ...request(victim), ...other, pageToken });
    },
  };
}
