import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { Code } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventSchema } from '#gen/serp/discuss/v1/event_pb.ts';
import { MessageType, type Poll } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app, CONCURRENT } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';

const user = (id: number): As => ({ userId: BigInt(id), tenantId: 1n });
const ana = user(1);

describe('polls', () => {
  let the: App;
  let channelId: bigint;

  before(async () => {
    the = await app(CONCURRENT);
    await the.start();
    const memberUserIds = Array.from({ length: 60 }, (_, index) => BigInt(index + 2));
    const { channel } = await the.client(ChannelService, ana).createChannel({ name: 'Kho', memberUserIds });
    channelId = channel?.id ?? 0n;
  });
  after(() => the.close());

  const messages = (as: As, instance = 0) => the.client(MessageService, as, 'grpc', instance);
  const ask = async (poll: object = {}, as = ana) => {
    const { message } = await messages(as).sendMessage({
      channelId,
      content: 'Ăn gì?',
      type: MessageType.POLL,
      metadata: { k: 'v' },
      poll: { options: ['phở', 'bún', 'cơm'], ...poll },
    });
    assert.ok(message);
    return message;
  };
  const vote = (as: As, messageId: bigint, ...optionIds: number[]) =>
    messages(as, Number(as.userId % 2n)).votePoll({ channelId, messageId, optionIds });
  const counts = (poll: Poll | undefined) => poll?.options.map(({ voteCount }) => voteCount);

  it('are returned as posted, separate from the client’s metadata', async () => {
    const message = await ask({ multiple: true, scheduledCloseTime: timestampFromMs(Date.now() + 60_000) });
    const read = await messages(user(2)).getMessage({ channelId, messageId: message.id });
    assert.deepEqual(read.message, message);
    assert.deepEqual(message.metadata, { k: 'v' });
    assert.deepEqual(
      message.poll?.options.map(({ id, text }) => [id, text]),
      [
        [1, 'phở'],
        [2, 'bún'],
        [3, 'cơm'],
      ],
    );
    const bare = await ask({ metadata: undefined });
    assert.deepEqual((await messages(ana).getMessage({ channelId, messageId: bare.id })).message, bare);
  });

  it('count one vote per user when 60 users vote and change their votes concurrently', async () => {
    const { id } = await ask();
    const people = Array.from({ length: 60 }, (_, index) => user(index + 1));
    await Promise.all(
      people.flatMap((as, index) => [vote(as, id, 1 + (index % 3)), vote(as, id, 1 + ((index + 1) % 3))]),
    );
    await Promise.all(people.map((as, index) => vote(as, id, 1 + (index % 2))));
    const { poll, ownOptionIds } = await messages(ana).getPoll({ channelId, messageId: id });
    assert.deepEqual([counts(poll), poll?.voterCount, ownOptionIds], [[30, 30, 0], 60, [1]]);
    assert.deepEqual(
      new Set(poll?.options[1]?.voterUserIds),
      new Set(people.filter((_, index) => index % 2 === 1).map(({ userId }) => userId)),
    );
  });

  it('accept several options if allowed, replace votes and remove them', async () => {
    const { id } = await ask({ multiple: true });
    assert.deepEqual(counts((await vote(ana, id, 1, 3)).poll), [1, 0, 1]);
    assert.deepEqual(counts((await vote(ana, id, 3, 2)).poll), [0, 1, 1]);
    assert.equal((await vote(ana, id, 2, 3)).poll?.voterCount, 1);
    const { poll } = await vote(ana, id);
    assert.deepEqual([counts(poll), poll?.voterCount], [[0, 0, 0], 0]);
    const [row] = await the.owner<{ n: number }[]>`
      select count(*)::int as n from channel_events where message_id = ${id} and kind = 'POLL_CHANGED'
    `;
    assert.equal(row?.n, 3, 'the same vote again makes no event');
  });

  it('do not name the voter of an anonymous poll, in responses and in the log', async () => {
    const { id } = await ask({ anonymous: true });
    const { poll } = await vote(user(2), id, 2);
    assert.deepEqual([counts(poll), poll?.options[1]?.voterUserIds], [[0, 1, 0], []]);
    assert.deepEqual((await messages(user(2)).getPoll({ channelId, messageId: id })).ownOptionIds, [2]);
    assert.deepEqual((await messages(ana).getPoll({ channelId, messageId: id })).ownOptionIds, []);
    const [logged] = await the.owner<{ actorId: bigint; payload: Buffer }[]>`
      select actor_id as "actorId", payload from channel_events where message_id = ${id} and kind = 'POLL_CHANGED'
    `;
    assert.ok(logged !== undefined);
    assert.deepEqual([BigInt(logged.actorId), fromBinary(EventSchema, logged.payload).actorId], [0n, 0n]);
  });

  it('reject votes for unknown options, for too many options, and on messages that are not polls', async () => {
    const { id } = await ask();
    await rejects(vote(ana, id, 4), Code.InvalidArgument, 'FIELD_INVALID');
    await rejects(vote(ana, id, 1, 2), Code.InvalidArgument, 'FIELD_INVALID');
    await rejects(vote({ userId: 99n, tenantId: 1n }, id, 1), Code.NotFound, 'MESSAGE_NOT_FOUND');
    const { message } = await messages(ana).sendMessage({ channelId, content: 'x' });
    await rejects(vote(ana, message?.id ?? 0n, 1), Code.FailedPrecondition, 'MESSAGE_TYPE_UNSUPPORTED');
    await messages(ana).deleteMessage({ channelId, messageId: id });
    await rejects(vote(ana, id, 1), Code.FailedPrecondition, 'MESSAGE_DELETED');
  });

  it('close at their close time, or by their author and admins', async () => {
    const timed = await ask({ scheduledCloseTime: timestampFromMs(Date.now() + 60_000) });
    await vote(ana, timed.id, 1);
    await the.owner`
      update messages set metadata = jsonb_set(metadata, '{poll_data,close_at}', to_jsonb(now_ms() - 1)) where id = ${timed.id}
    `;
    await rejects(vote(ana, timed.id, 2), Code.FailedPrecondition, 'POLL_CLOSED');
    const { id } = await ask({}, user(2));
    const close = (as: As) => messages(as).closePoll({ channelId, messageId: id });
    await rejects(close(user(3)), Code.PermissionDenied, 'ROLE_TOO_LOW');
    const { poll } = await close(user(2));
    assert.ok(poll?.manualCloseTime);
    assert.deepEqual((await close(ana)).poll, poll);
    await rejects(vote(ana, id, 1), Code.FailedPrecondition, 'POLL_CLOSED');
  });

  it('are rejected without options, with too few or duplicate options, and with a close time in the past', async () => {
    const wrong = [
      { options: ['a'] },
      { options: ['a', 'a'] },
      { options: ['a', ' '] },
      { options: Array.from({ length: 21 }, (_, index) => `${index}`) },
      { scheduledCloseTime: timestampFromMs(Date.now() - 1_000) },
    ];
    for (const poll of wrong) await rejects(ask(poll), Code.InvalidArgument, 'FIELD_INVALID');
    const without = messages(ana).sendMessage({ channelId, content: 'x', type: MessageType.POLL });
    await rejects(without, Code.InvalidArgument, 'FIELD_INVALID');
    const text = messages(ana).sendMessage({ channelId, content: 'x', poll: { options: ['a', 'b'] } });
    await rejects(text, Code.InvalidArgument, 'FIELD_INVALID');
  });
});
