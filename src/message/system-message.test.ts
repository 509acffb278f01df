import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { groupWithAdmin } from '../../test/kit/groups.ts';
import { rejects } from '../../test/kit/rejects.ts';

const user = (userId: bigint): As => ({ userId, tenantId: 1n });
const [ana, binh] = [user(1n), user(2n)];
const service: As = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };

describe('SYSTEM messages', () => {
  let the: App;
  let channelId: bigint;

  before(async () => {
    the = await app();
    channelId = await groupWithAdmin(the);
  });
  after(() => the.close());

  const messages = (as: As, instance = 0) => the.client(MessageService, as, 'grpc', instance);
  const read = async (messageId: bigint, as = binh) =>
    (await messages(as).getMessage({ channelId, messageId })).message;

  it('are posted by services without a user in any channel of their tenant', async () => {
    const request = {
      channelId,
      content: 'Đơn hàng đã giao',
      type: MessageType.SYSTEM,
      requestId: randomUUID(),
    };
    const { message } = await messages(service).sendMessage(request);
    assert.deepEqual([message?.senderId, message?.type], [0n, MessageType.SYSTEM]);
    const again = await messages(service).sendMessage(request);
    assert.deepEqual([again.message?.id, again.repeatedRequest], [message?.id, true]);
    assert.deepEqual(await read(message?.id ?? 0n), message);
    const reply = await messages(service).sendMessage({
      ...request,
      requestId: '',
      replyToMessageId: message?.id ?? 0n,
    });
    assert.equal(reply.message?.rootMessageId, message?.id);
  });

  it('are rejected from users, from services of other tenants, and as another type', async () => {
    const request = { channelId, content: 'x', type: MessageType.SYSTEM };
    await rejects(messages(ana).sendMessage(request), Code.PermissionDenied, 'CALLER_NOT_ALLOWED');
    const other = messages({ ...service, tenantId: 2n });
    await rejects(other.sendMessage(request), Code.NotFound, 'CHANNEL_NOT_FOUND');
    const text = messages(service).sendMessage({ channelId, content: 'x' });
    await rejects(text, Code.PermissionDenied, 'CALLER_NOT_ALLOWED');
  });
});
