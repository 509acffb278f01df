import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type DescMessage, type MessageShape, toBinary, toJsonString } from '@bufbuild/protobuf';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { type Event, EventSchema } from '#gen/serp/discuss/v1/event_pb.ts';
import {
  EventService,
  StreamTenantEventsResponseSchema,
  SubscribeResponseSchema,
} from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, fileApp } from '../../../test/kit/app.ts';
import { Subscriber } from '../../../test/kit/stream.ts';
import { TenantStreamReader } from '../../../test/kit/tenant-stream-reader.ts';
import { until } from '../../../test/kit/until.ts';
import { PNG, upload } from '../../../test/kit/uploads.ts';
import { MAX_RESPONSE_BYTES } from '../../rpc/response-size.ts';

const tenantId = 1n;
const me: As = { userId: 1n, tenantId };
const service: As = { userId: 0n, tenantId, roles: ['discuss.service'] };
// A user id of nine bytes, and the maximum of AddMembers and CreateChannel.
const FIRST_ID = 9_007_199_254_740_993n;
const MEMBERS = Array.from({ length: 1_000 }, (_, index) => FIRST_ID + BigInt(index));
const VOTERS = 150;
const EMOJI = 20;
// 10,000 grapheme clusters in 64 KB; the largest metadata; four bytes for each character.
const CONTENT = `kho ${'👨‍👩‍👧‍👦'.repeat(2_600)}`;
const METADATA = { a: Array<number>(4_000).fill(0) };
const wide = (length: number) => '𝄞'.repeat(length);
/** Lists within the messages of streams; of each, this test or another one has as many items as there can be. */
const LISTS = {
  'ActivitiesRead.activity_ids': 'at most 1,000',
  'Channel.direct_user_ids': 'at most 2',
  'Heartbeat.heads': 'at most 10,000 of at most 60 bytes',
  'MembersChanged.members': 'at most 2',
  'MembersJoined.members': 'here',
  'Message.attachments': 'here',
  'Message.mention_user_ids': 'here',
  'Message.participant_user_ids': 'at most 5',
  'Message.reactions': 'here',
  'Poll.options': 'here',
  'PollOption.voter_user_ids': 'here',
  'PresenceChanged.users': 'at most 200 of at most 1 KB',
  'Reaction.user_ids': 'here',
  'StreamStarted.channels': 'started.test.ts',
  'SystemNotice.user_ids': 'here',
  'ThreadSummary.participant_user_ids': 'at most 5',
};

describe('messages of streams', () => {
  let the: App;

  before(async () => {
    the = await fileApp();
  });
  after(() => the.close());

  it('have only lists whose size is limited', () => {
    const lists = new Set<string>();
    for (const schema of [SubscribeResponseSchema, StreamTenantEventsResponseSchema]) addLists(schema, lists);
    assert.deepEqual([...lists].sort(), Object.keys(LISTS));
  });

  it('are at most 3 MB with everything as large as the contract permits', async () => {
    const tenant = await new TenantStreamReader().connect(the.client(EventService, service));
    const subscriber = await new Subscriber(the.client(EventService, me, 'web')).connect();
    const request = { name: wide(255), description: wide(2_000), memberUserIds: MEMBERS, metadata: METADATA };
    const { channel } = await the.client(ChannelService, me).createChannel(request);
    const channelId = channel?.id ?? 0n;
    await rejoin(the, channelId);
    await postLargest(the, channelId);
    await postFiles(the, channelId);
    await postPoll(the, channelId);
    const subscribed = () => subscriber.events.filter((event) => event.channelId === channelId);
    const isVote = ({ change }: Event) => change.case === 'pollChanged';
    await until(() => subscribed().some(isVote), 'the events of the subscriber');
    const tenantEvents = () =>
      tenant.received.flatMap(({ payload }) => (payload.case === 'event' ? (payload.value.event ?? []) : []));
    await until(() => tenantEvents().some(isVote), 'the events of the tenant');
    for (const events of [subscribed(), tenantEvents()]) {
      for (const event of events) assertSize(EventSchema, event);
      const sizes = new Map(events.map((event) => [event.change.case, toBinary(EventSchema, event).length]));
      assert.ok((sizes.get('membersJoined') ?? 0) > 400 * MEMBERS.length, 'members with nicknames');
      assert.ok((sizes.get('messageEdited') ?? 0) > 110_000, 'text and metadata');
      assert.ok((sizes.get('pollChanged') ?? 0) > 20 * 100 * 9, 'voters of each option');
    }
    for (const response of tenant.received) assertSize(StreamTenantEventsResponseSchema, response);
    await subscriber.disconnect();
    await tenant.disconnect();
  });
});

/** Adds members who left with the longest nickname: they have it again. */
async function rejoin(the: App, channelId: bigint): Promise<void> {
  await the.owner`
    update channel_members
    set metadata = jsonb_build_object('nickname', ${wide(100)}::text), status = 'LEFT'
    where channel_id = ${channelId} and user_id <> ${me.userId}
  `;
  const { added } = await the.client(MemberService, me).addMembers({ channelId, userIds: MEMBERS });
  assert.equal(added.length, MEMBERS.length);
}

async function postLargest(the: App, channelId: bigint): Promise<void> {
  const client = the.client(MessageService, me);
  const largest = { content: CONTENT, metadata: METADATA, mentionUserIds: MEMBERS.slice(0, 100) };
  const { message } = await client.sendMessage({ channelId, ...largest });
  const messageId = message?.id ?? 0n;
  await the.owner`
    update messages
    set reactions = (
      select jsonb_agg(jsonb_build_object('emoji', ':' || repeat(chr(96 + e), 98) || ':', 'users', ${MEMBERS.map(String)}::bigint[]))
      from generate_series(1, ${EMOJI}) as e
    )
    where id = ${messageId}
  `;
  const updateMask = { paths: ['content', 'metadata', 'mention_user_ids'] };
  const edited = await client.editMessage({
    channelId,
    messageId,
    ...largest,
    content: CONTENT.toUpperCase(),
    updateMask,
  });
  assert.equal(edited.message?.reactions.length, EMOJI);
}

async function postFiles(the: App, channelId: bigint): Promise<void> {
  const client = the.client(AttachmentService, me);
  const names = Array.from({ length: 10 }, (_, index) => `${wide(198)}${index + 10}`);
  const files = await Promise.all(names.map((name) => upload(client, channelId, name, PNG)));
  const rest = { metadata: METADATA, mentionUserIds: MEMBERS.slice(0, 100) };
  const attachmentIds = files.map(({ id }) => id);
  const request = { channelId, content: CONTENT, attachmentIds, ...rest };
  const { message } = await the.client(MessageService, me).sendMessage(request);
  assert.equal(message?.attachments.length, names.length);
}

async function postPoll(the: App, channelId: bigint): Promise<void> {
  const options = Array.from({ length: 20 }, (_, index) => `${wide(198)}${index + 10}`);
  const client = the.client(MessageService, me);
  const poll = { options, multiple: true };
  const rest = { type: MessageType.POLL, metadata: METADATA, mentionUserIds: MEMBERS.slice(0, 100) };
  const { message } = await client.sendMessage({ channelId, content: CONTENT, poll, ...rest });
  const messageId = message?.id ?? 0n;
  await the.owner`
    insert into poll_votes (tenant_id, message_id, user_id, option_id, channel_id, created_at)
    select ${tenantId}, ${messageId}, ${FIRST_ID}::bigint + u, o, ${channelId}, 1
    from generate_series(0, ${VOTERS - 1}) as u, generate_series(1, ${options.length}) as o
  `;
  await client.closePoll({ channelId, messageId });
}

function assertSize<S extends DescMessage>(schema: S, message: MessageShape<S>): void {
  const sizes = [toBinary(schema, message), Buffer.from(toJsonString(schema, message))];
  for (const { length } of sizes)
    assert.ok(length <= MAX_RESPONSE_BYTES, `${schema.typeName}: ${length} bytes`);
}

function addLists(schema: DescMessage, lists: Set<string>, seen = new Set<DescMessage>()): void {
  if (seen.has(schema) || schema.typeName.startsWith('google.')) return;
  seen.add(schema);
  for (const field of schema.fields) {
    if (field.fieldKind === 'list') lists.add(`${schema.name}.${field.name}`);
    if (field.message !== undefined) addLists(field.message, lists, seen);
  }
}
