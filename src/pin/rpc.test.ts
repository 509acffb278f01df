import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code, ConnectError } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberRole } from '#gen/serp/discuss/v1/member_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app, CONCURRENT } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';

const user = (id: bigint): As => ({ userId: id, tenantId: 1n });
const [ana, binh, guest] = [user(1n), user(2n), user(3n)];

describe('pins', () => {
  let the: App;
  let channelId: bigint;

  before(async () => {
    the = await app({ ...CONCURRENT, CHANNEL_MAX_PINS: '3' });
    const { channel } = await the
      .client(ChannelService, ana)
      .createChannel({ name: 'Kho', memberUserIds: [2n] });
    channelId = channel?.id ?? 0n;
    await the.client(MemberService, ana).addMembers({ channelId, userIds: [3n], role: MemberRole.GUEST });
  });
  after(() => the.close());

  const messages = (as: As) => the.client(MessageService, as);
  const post = async (id = channelId) => {
    const { message } = await messages(ana).sendMessage({ channelId: id, content: 'ghim' });
    return message?.id ?? 0n;
  };
  const pin = (as: As, messageId: bigint) => messages(as).pinMessage({ channelId, messageId });
  const unpin = (as: As, messageId: bigint) => messages(as).unpinMessage({ channelId, messageId });
  const list = async () => {
    const { messages: pinned } = await messages(guest).listPins({ channelId });
    return pinned.map(({ id }) => id);
  };

  it('are listed latest first, and change nothing when repeated', async () => {
    const [first, second] = [await post(), await post()];
    await pin(ana, second);
    const { message } = await pin(binh, first);
    assert.deepEqual([message?.pinnerId, message?.pinTime !== undefined], [2n, true]);
    assert.deepEqual((await pin(ana, first)).message, message);
    assert.deepEqual((await messages(ana).getMessage({ channelId, messageId: first })).message, message);
    assert.deepEqual(await list(), [first, second]);
    await unpin(ana, first);
    const { message: unpinned } = await unpin(ana, first);
    assert.deepEqual([unpinned?.pinnerId, unpinned?.pinTime], [0n, undefined]);
    assert.deepEqual(await list(), [second]);
    const [row] = await the.owner<{ n: number }[]>`
      select count(*)::int as n from channel_events where message_id = ${first} and kind = 'PIN_CHANGED'
    `;
    assert.equal(row?.n, 2);
    await unpin(ana, second);
  });

  it('are limited per channel, also under concurrent calls', async () => {
    const ids = await Promise.all(Array.from({ length: 8 }, () => post()));
    const outcomes = await Promise.allSettled(ids.map((id) => pin(ana, id)));
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
    for (const { reason } of refused)
      await rejects(Promise.reject(ConnectError.from(reason)), Code.FailedPrecondition, 'PIN_LIMIT');
    assert.deepEqual([refused.length, (await list()).length], [5, 3]);
  });

  it('are allowed for members and higher roles, and for both users of a direct channel', async () => {
    const messageId = await post();
    await rejects(pin(guest, messageId), Code.PermissionDenied, 'ROLE_TOO_LOW');
    await rejects(unpin(guest, messageId), Code.PermissionDenied, 'ROLE_TOO_LOW');
    await rejects(pin(user(9n), messageId), Code.NotFound, 'MESSAGE_NOT_FOUND');
    const direct = await the.client(ChannelService, ana).getOrCreateDirectChannel({ userId: 2n });
    const directId = direct.channel?.id ?? 0n;
    await messages(binh).pinMessage({ channelId: directId, messageId: await post(directId) });
    await messages(ana).deleteMessage({ channelId, messageId });
    await rejects(pin(ana, messageId), Code.FailedPrecondition, 'MESSAGE_DELETED');
  });
});
