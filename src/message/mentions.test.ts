import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MentionScope } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { groupWithAdmin } from '../../test/kit/groups.ts';

const user = (userId: bigint): As => ({ userId, tenantId: 1n });
const [ana, binh, admin] = [user(1n), user(2n), user(3n)];

describe('mentions', () => {
  let the: App;
  let channelId: bigint;

  before(async () => {
    the = await app({ MENTION_ALL_MAX_MEMBERS: '3' });
    channelId = await groupWithAdmin(the);
  });
  after(() => the.close());

  const messages = (as: As, instance = 0) => the.client(MessageService, as, 'grpc', instance);
  const group = (isPrivate = true) => groupWithAdmin(the, isPrivate);
  const read = async (messageId: bigint, as = binh) =>
    (await messages(as).getMessage({ channelId, messageId })).message;

  it('exclude users who are not members of a private channel and report them, also for a repeated call', async () => {
    const request = {
      channelId,
      content: '@2 @77',
      mentionUserIds: [2n, 77n, 77n],
      requestId: randomUUID(),
    };
    const first = await messages(ana).sendMessage(request);
    assert.deepEqual([first.message?.mentionUserIds, first.ignoredMentionUserIds], [[2n], [77n]]);
    const again = await messages(ana).sendMessage(request);
    assert.deepEqual(
      [again.message, again.ignoredMentionUserIds, again.repeatedRequest],
      [first.message, [77n], true],
    );
    assert.deepEqual(await read(first.message?.id ?? 0n), first.message);
  });

  it('include all users in a public channel', async () => {
    const open = await group(false);
    const { message, ignoredMentionUserIds } = await messages(ana).sendMessage({
      channelId: open,
      content: '@77',
      mentionUserIds: [77n],
    });
    assert.deepEqual([message?.mentionUserIds, ignoredMentionUserIds], [[77n], []]);
  });

  it('of the whole channel are allowed for admins, in small channels for all members; otherwise they are ignored and reported', async () => {
    const mentionScope = MentionScope.CHANNEL;
    const mention = (as: As, id: bigint) =>
      messages(as).sendMessage({ channelId: id, content: '@channel', mentionScope });
    const large = await mention(ana, channelId);
    assert.deepEqual(
      [large.message?.mentionScope, large.mentionScopeIgnored],
      [MentionScope.UNSPECIFIED, true],
    );
    const byAdmin = await mention(admin, channelId);
    assert.deepEqual([byAdmin.message?.mentionScope, byAdmin.mentionScopeIgnored], [mentionScope, false]);
    const { channel } = await the
      .client(ChannelService, ana)
      .createChannel({ name: 'nhỏ', memberUserIds: [2n, 3n] });
    const small = await mention(binh, channel?.id ?? 0n);
    assert.deepEqual([small.message?.mentionScope, small.mentionScopeIgnored], [mentionScope, false]);
  });
});
