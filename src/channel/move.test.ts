import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { SystemNoticeKind as Kind } from '#gen/serp/discuss/v1/message_pb.ts';
import { type App, type As, app, CONCURRENT } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { topicFixture } from '../../test/kit/topic-fixture.ts';
import { until } from '../../test/kit/until.ts';

const user = (id: number): As => ({ userId: BigInt(id), tenantId: 1n });
const [ana, binh, chi] = [user(1), user(2), user(3)];
const crm = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };

describe('MoveTopic', () => {
  let the: App;

  before(async () => {
    the = await app(CONCURRENT);
    await the.start();
  });
  after(() => the.close());

  const { channels, messages, some, open, make, move, send, entityOf, texts, listed, lead } = topicFixture(
    () => the,
  );

  it('keeps the channel with its history, members and streams, and both entities resolve to it', async () => {
    const [leadOne, deal] = [some('lead'), some('opportunity')];
    const channelId = await make(leadOne, 1n, 2n);
    await send(ana, channelId, 'chào');
    const stream = await new Subscriber(the.client(EventService, binh, 'web', 1), [channelId]).connect();
    const { channel, mergedChannelId } = await move(leadOne, deal);
    assert.deepEqual([channel?.id, entityOf(channel), mergedChannelId], [channelId, deal, 0n]);
    await until(() => stream.events.length === 2);
    const [changed, posted] = stream.events.map(({ change }) => change);
    assert.ok(changed?.case === 'channelChanged' && posted?.case === 'messageCreated');
    assert.deepEqual(changed.value.channel, channel);
    const notice = posted.value.message?.notice;
    assert.equal(notice?.kind, Kind.TOPIC_MOVED);
    assert.deepEqual([notice.fromEntity?.id, notice.toEntity?.id], [leadOne[1], deal[1]]);
    await lead(channelId, deal, leadOne, deal);
    assert.deepEqual(await texts(binh, channelId), [
      'chào',
      `The discussion moved from lead ${leadOne[1]} to opportunity ${deal[1]}`,
    ]);
    for (const entity of [leadOne, deal]) assert.deepEqual(await listed(binh, entity), [channelId]);
    assert.deepEqual(await listed(chi, leadOne), []);
    assert.deepEqual(await listed({ ...binh, tenantId: 2n }, leadOne), []);
    await open(leadOne, [3n]);
    assert.deepEqual(await listed(chi, leadOne), [channelId]);
    await stream.disconnect();
  });

  it('resolves every entity of a chain to the last channel, also after a move back', async () => {
    const [leadOne, deal, order] = [some('lead'), some('opportunity'), some('order')];
    const channelId = await make(leadOne, 1n);
    await move(leadOne, deal);
    await move(deal, order);
    await lead(channelId, order, leadOne, deal, order);
    const before = await channels(ana).getChannel({ channelId });
    // Late repeats of what has been done.
    await move(leadOne, deal);
    await move(deal, order);
    await move(leadOne, order);
    assert.deepEqual(await channels(ana).getChannel({ channelId }), before);
    await move(order, leadOne);
    await lead(channelId, leadOne, leadOne, deal, order);
    const task = some('task');
    await move(order, task);
    await lead(channelId, task, leadOne, deal, order, task);
  });

  it('stores the alias when the source entity has no channel, and rejects a move between entities without channels', async () => {
    const [one, two, three] = [some('lead'), some('lead'), some('lead')];
    await rejects(move(one, two), Code.NotFound, 'CHANNEL_NOT_FOUND');
    const channelId = await make(two, 1n);
    assert.equal((await move(one, two)).channel?.id, channelId);
    await lead(channelId, two, one, two);
    await channels(crm).deleteChannel({ channelId });
    await rejects(move(one, two), Code.NotFound, 'CHANNEL_NOT_FOUND');
    for (const entity of [one, two]) {
      const { created, redirected } = await open(entity);
      assert.deepEqual([created, redirected], [true, false]);
    }
    // A deleted channel blocks no other.
    const { channel } = await open(three);
    await channels(crm).deleteChannel({ channelId: channel?.id ?? 0n });
    const moved = await move(one, three);
    assert.deepEqual([entityOf(moved.channel), moved.mergedChannelId], [three, 0n]);
    await lead(moved.channel?.id ?? 0n, three, one, three);
  });

  it('is executed once per request id for concurrent calls on all instances', async () => {
    const [one, two, three] = [some('lead'), some('customer'), some('customer')];
    const source = await make(one, 1n);
    const target = await make(two, 2n);
    const requestId = randomUUID();
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, index) => move(one, two, requestId, crm, index % 2)),
    );
    for (const { channel, mergedChannelId } of answers)
      assert.deepEqual([channel?.id, mergedChannelId], [target, source]);
    const notices = (await messages(binh).listMessages({ channelId: target })).messages;
    assert.equal(notices.length, 1);
    await move(two, three);
    const again = await move(one, two, requestId, crm, 1);
    assert.deepEqual([entityOf(again.channel), again.mergedChannelId], [three, source]);
    await rejects(move(one, three, requestId), Code.AlreadyExists, 'REQUEST_ID_REUSED');
  });

  it('is allowed for services, within their tenant', async () => {
    const [one, two] = [some('lead'), some('customer')];
    const channelId = await make(one, 1n);
    await rejects(move(one, two, '', ana), Code.PermissionDenied, 'CALLER_NOT_ALLOWED');
    await rejects(move(one, two, '', { ...crm, tenantId: 2n }), Code.NotFound, 'CHANNEL_NOT_FOUND');
    await rejects(move(one, one), Code.InvalidArgument, 'FIELD_INVALID');
    await move(one, two, '', { ...crm, userId: 99n });
    await lead(channelId, two, one, two);
  });
});
