import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import {
  ErrorInfoSchema,
  LocalizedMessageSchema,
  ResourceInfoSchema,
} from '#gen/google/rpc/error_details_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberRole } from '#gen/serp/discuss/v1/member_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from './kit/app.ts';
import { rejects } from './kit/rejects.ts';

const user = (userId: bigint): As => ({ userId, tenantId: 1n });
const [ana, binh, stranger] = [user(1n), user(2n), user(3n)];
const service: As = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };

describe('metadata of errors', () => {
  let testApp: App;
  let channelId: bigint;
  let messageId: bigint;

  const channels = (as: As) => testApp.client(ChannelService, as);
  const members = (as: As) => testApp.client(MemberService, as, 'web');
  const messages = (as: As) => testApp.client(MessageService, as, 'web');
  const assertMetadata = async (
    call: Promise<unknown>,
    code: Code,
    reason: string,
    metadata: Record<string, bigint | number | string>,
  ) => {
    const error = await rejects(call, code, reason);
    const expected = Object.entries(metadata).map(([key, value]) => [key, `${value}`]);
    assert.deepEqual(error.findDetails(ErrorInfoSchema)[0]?.metadata, Object.fromEntries(expected));
    return error;
  };

  before(async () => {
    testApp = await app({
      CHANNEL_MAX_PINS: '1',
      CHANNEL_MAX_MEMBERS: '3',
      CHANNEL_READERS_MAX_MEMBERS: '1',
      REACTION_MAX_KINDS: '1',
      REACTION_MAX_USERS: '5',
    });
    const { channel } = await channels(ana).createChannel({ name: 'Kho', memberUserIds: [2n] });
    channelId = channel?.id ?? 0n;
    const { message } = await messages(ana).sendMessage({ channelId, content: 'một' });
    messageId = message?.id ?? 0n;
  });
  after(() => testApp.close());

  it('names what was not found', async () => {
    const missing = { channelId, messageId: 999n };
    const ids = { channel_id: channelId, message_id: 999n };
    const error = await assertMetadata(
      messages(ana).getMessage(missing),
      Code.NotFound,
      'MESSAGE_NOT_FOUND',
      ids,
    );
    const [resource] = error.findDetails(ResourceInfoSchema);
    assert.equal(resource?.resourceName, `channels/${channelId}/messages/999`);
    const reply = { channelId, content: 'x', replyToMessageId: 999n };
    await assertMetadata(messages(ana).sendMessage(reply), Code.NotFound, 'MESSAGE_NOT_FOUND', ids);
    await assertMetadata(channels(ana).getChannel({ channelId: 999n }), Code.NotFound, 'CHANNEL_NOT_FOUND', {
      channel_id: 999n,
    });
    const member = { channel_id: channelId, user_id: 3n };
    const remove = members(ana).removeMember({ channelId, userId: 3n });
    await assertMetadata(remove, Code.NotFound, 'MEMBER_NOT_FOUND', member);
    const mark = members(stranger).markRead({ channelId, messageId });
    await assertMetadata(mark, Code.NotFound, 'MEMBER_NOT_FOUND', member);
  });

  it('states roles and limits with the current values', async () => {
    const change = { channelId, userId: 1n, role: MemberRole.GUEST };
    await assertMetadata(members(binh).updateMemberRole(change), Code.PermissionDenied, 'ROLE_TOO_LOW', {
      channel_id: channelId,
      required_role: 'ADMIN',
      role: 'MEMBER',
    });
    const add = members(ana).addMembers({ channelId, userIds: [5n, 6n, 7n] });
    const counts = { channel_id: channelId, limit: 3, member_count: 5 };
    const full = await assertMetadata(add, Code.FailedPrecondition, 'CHANNEL_FULL', counts);
    assert.equal(
      full.findDetails(LocalizedMessageSchema)[0]?.message,
      'A channel can have at most 3 members.',
    );
    const readers = members(ana).listReaders({ channelId, messageId });
    const size = { channel_id: channelId, limit: 1, member_count: 2 };
    await assertMetadata(readers, Code.FailedPrecondition, 'CHANNEL_TOO_LARGE', size);
    await messages(ana).pinMessage({ channelId, messageId });
    const { message } = await messages(ana).sendMessage({ channelId, content: 'hai' });
    const pin = messages(ana).pinMessage({ channelId, messageId: message?.id ?? 0n });
    await assertMetadata(pin, Code.FailedPrecondition, 'PIN_LIMIT', { channel_id: channelId, limit: 1 });
    const ownership = { channel_id: channelId, user_id: 1n };
    const leave = members(ana).leaveChannel({ channelId });
    await assertMetadata(leave, Code.FailedPrecondition, 'LAST_OWNER', ownership);
  });

  it('names the invalid field, the reused request id, and the type of a message', async () => {
    const invalid = messages(ana).getMessage({ channelId: -1n, messageId });
    await assertMetadata(invalid, Code.InvalidArgument, 'FIELD_INVALID', { field: 'channel_id' });
    const requestId = randomUUID();
    await messages(ana).sendMessage({ channelId, content: 'ba', requestId });
    const reused = messages(ana).sendMessage({ channelId, content: 'bốn', requestId });
    await assertMetadata(reused, Code.AlreadyExists, 'REQUEST_ID_REUSED', { request_id: requestId });
    const poll = messages(ana).getPoll({ channelId, messageId });
    const type = { channel_id: channelId, message_id: messageId, message_type: 'TEXT' };
    await assertMetadata(poll, Code.FailedPrecondition, 'MESSAGE_TYPE_UNSUPPORTED', type);
  });

  it('states why a message or a channel does not permit a call', async () => {
    const send = async (content: string, rest: object = {}) =>
      (await messages(ana).sendMessage({ channelId, content, ...rest })).message?.id ?? 0n;
    const deleted = await send('xóa');
    await messages(ana).deleteMessage({ channelId, messageId: deleted });
    const react = messages(ana).addReaction({ channelId, messageId: deleted, emoji: '👍' });
    const tombstone = { channel_id: channelId, message_id: deleted };
    await assertMetadata(react, Code.FailedPrecondition, 'MESSAGE_DELETED', tombstone);
    await messages(ana).addReaction({ channelId, messageId, emoji: '👍' });
    const another = messages(ana).addReaction({ channelId, messageId, emoji: '🎉' });
    const reactions = { channel_id: channelId, message_id: messageId, kind_limit: 1, user_limit: 5 };
    await assertMetadata(another, Code.FailedPrecondition, 'REACTION_LIMIT', reactions);
    const poll = { type: MessageType.POLL, poll: { options: ['a', 'b'] } };
    const pollId = await send('bình chọn', poll);
    await messages(ana).closePoll({ channelId, messageId: pollId });
    const vote = messages(ana).votePoll({ channelId, messageId: pollId, optionIds: [1] });
    const closed = await rejects(vote, Code.FailedPrecondition, 'POLL_CLOSED');
    const time = closed.findDetails(ErrorInfoSchema)[0]?.metadata['close_time'] ?? '';
    assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000, time);
    const updateMask = { paths: ['content'] };
    const other = messages(binh).editMessage({ channelId, messageId, content: 'x', updateMask });
    const author = { caller: 'user', channel_id: channelId, message_id: messageId };
    await assertMetadata(other, Code.PermissionDenied, 'CALLER_NOT_ALLOWED', author);
    await testApp.owner`update messages set created_at = 0 where id = ${messageId}`;
    const edit = messages(ana).editMessage({ channelId, messageId, content: 'x', updateMask });
    const window = { channel_id: channelId, message_id: messageId, limit_hours: 24 };
    await assertMetadata(edit, Code.FailedPrecondition, 'EDIT_WINDOW_EXPIRED', window);
    const { channel } = await channels(ana).getOrCreateDirectChannel({ userId: 2n });
    const directId = channel?.id ?? 0n;
    const leave = members(ana).leaveChannel({ channelId: directId });
    await assertMetadata(leave, Code.FailedPrecondition, 'CHANNEL_IS_DIRECT', { channel_id: directId });
  });

  it('names the channel in which a merged discussion continues', async () => {
    const [from, to] = [
      { type: 'order', id: 1n },
      { type: 'order', id: 2n },
    ];
    const topic = async (entity: { type: string; id: bigint }) => {
      const request = { entity, name: 'Đơn', memberUserIds: [1n] };
      const { channel } = await channels(service).getOrCreateTopicChannel(request);
      return channel?.id ?? 0n;
    };
    const [source, target] = [await topic(from), await topic(to)];
    const { message } = await messages(ana).sendMessage({ channelId: source, content: 'một' });
    await channels(service).moveTopic({ fromEntity: from, toEntity: to });
    const merged = { channel_id: source, merged_into_channel_id: target };
    const send = messages(ana).sendMessage({ channelId: source, content: 'hai' });
    await assertMetadata(send, Code.FailedPrecondition, 'CHANNEL_ARCHIVED', merged);
    const pin = messages(ana).pinMessage({ channelId: source, messageId: message?.id ?? 0n });
    await assertMetadata(pin, Code.FailedPrecondition, 'CHANNEL_ARCHIVED', merged);
    const unarchive = channels(service).unarchiveChannel({ channelId: source });
    await assertMetadata(unarchive, Code.FailedPrecondition, 'CHANNEL_MERGED', merged);
  });
});
