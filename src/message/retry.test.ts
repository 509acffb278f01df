import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { Code } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, app } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { until } from '../../test/kit/until.ts';

const owner = { userId: 1n, tenantId: 1n };
const sender = { userId: 2n, tenantId: 1n };

describe('a retry of a committed SendMessage', () => {
  let testApp: App;

  before(async () => {
    testApp = await app();
    await testApp.start();
  });
  after(() => testApp.close());

  const createGroup = async () => {
    const request = { name: 'Kho vận', memberUserIds: [sender.userId], private: true };
    const { channel } = await testApp.client(ChannelService, owner).createChannel(request);
    return channel?.id ?? 0n;
  };

  /** Sends, changes the state so that a new message would be rejected, and sends the same again. */
  const retryAfter = async (
    change: (channelId: bigint, messageId: bigint) => Promise<unknown>,
    rest: object = {},
    prepare: (channelId: bigint) => Promise<object> = async () => ({}),
  ) => {
    const channelId = await createGroup();
    const request = {
      channelId,
      content: 'đơn hàng',
      requestId: randomUUID(),
      ...rest,
      ...(await prepare(channelId)),
    };
    const client = testApp.client(MessageService, sender);
    const first = await client.sendMessage(request);
    await change(channelId, first.message?.id ?? 0n);
    const again = await client.sendMessage(request);
    assert.equal(again.repeatedRequest, true);
    assert.equal(again.message?.id, first.message?.id);
    assert.equal(again.message?.content, 'đơn hàng');
    const other = { ...request, content: 'nội dung khác' };
    await rejects(client.sendMessage(other), Code.AlreadyExists, 'REQUEST_ID_REUSED');
    return { channelId, again };
  };

  it('returns the message after the channel was archived', async () => {
    const { channelId } = await retryAfter((id) =>
      testApp.client(ChannelService, owner).archiveChannel({ channelId: id }),
    );
    const fresh = { channelId, content: 'mới', requestId: randomUUID() };
    const sending = testApp.client(MessageService, sender).sendMessage(fresh);
    await rejects(sending, Code.FailedPrecondition, 'CHANNEL_ARCHIVED');
  });

  it('returns the message as posted after the sender was removed', async () => {
    const { channelId, again } = await retryAfter(async (id, messageId) => {
      const { userId } = sender;
      await testApp.client(MemberService, owner).removeMember({ channelId: id, userId });
      await testApp.client(MessageService, owner).addReaction({ channelId: id, messageId, emoji: '👍' });
    });
    assert.deepEqual(again.message?.reactions, []);
    const fresh = { channelId, content: 'mới', requestId: randomUUID() };
    await rejects(
      testApp.client(MessageService, sender).sendMessage(fresh),
      Code.NotFound,
      'CHANNEL_NOT_FOUND',
    );
  });

  it('returns the message after the sender lost the right to post', async () => {
    await retryAfter(
      (id) => testApp.owner`
        update channel_members set status = 'MUTED' where channel_id = ${id} and user_id = ${sender.userId}
      `,
    );
  });

  it('returns the message after the channel was deleted', async () => {
    await retryAfter((id) => testApp.client(ChannelService, owner).deleteChannel({ channelId: id }));
  });

  it('returns the reply after its parent was deleted', async () => {
    let replyToMessageId = 0n;
    await retryAfter(
      (id) =>
        testApp.client(MessageService, owner).deleteMessage({ channelId: id, messageId: replyToMessageId }),
      {},
      async (id) => {
        const posted = await testApp
          .client(MessageService, owner)
          .sendMessage({ channelId: id, content: 'gốc' });
        replyToMessageId = posted.message?.id ?? 0n;
        return { replyToMessageId };
      },
    );
  });

  it('returns the poll after its close time', async () => {
    let closeMs = 0;
    await retryAfter(
      () => until(() => Date.now() > closeMs, 'the close time'),
      { type: MessageType.POLL },
      async () => {
        closeMs = Date.now() + 2_000;
        return { poll: { options: ['một', 'hai'], scheduledCloseTime: timestampFromMs(closeMs) } };
      },
    );
  });
});
