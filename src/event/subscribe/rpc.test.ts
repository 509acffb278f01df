import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { Code } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app, CONCURRENT, type Edge } from '../../../test/kit/app.ts';
import { createRandom } from '../../../test/kit/random.ts';
import { rejects } from '../../../test/kit/rejects.ts';
import { Subscriber } from '../../../test/kit/stream.ts';
import { until } from '../../../test/kit/until.ts';

const user = (id: number): As => ({ userId: BigInt(id), tenantId: 1n });

describe('EventService.Subscribe', () => {
  let the: App;
  const open: Subscriber[] = [];

  before(async () => {
    the = await app({ ...CONCURRENT, EVENT_HEARTBEAT_MS: '400', EVENT_REPLAY_PAGE: '50' });
    await the.start();
  });
  after(async () => {
    await Promise.all(open.map((subscriber) => subscriber.disconnect()));
    await the.close();
  });

  const group = async (members: number[], owner = 1) => {
    const { channel } = await the.client(ChannelService, user(owner)).createChannel({
      name: 'Đơn hàng',
      private: true,
      memberUserIds: members.map(BigInt),
    });
    return channel?.id ?? 0n;
  };
  const send = async (channelId: bigint, content: string, as = 1, instance = 0) =>
    the.client(MessageService, user(as), 'grpc', instance).sendMessage({ channelId, content });
  const subscribe = async (as: number, edge: Edge = 'grpc', instance = 0, channelIds: bigint[] = []) => {
    const subscriber = new Subscriber(the.client(EventService, user(as), edge, instance), channelIds);
    open.push(subscriber);
    return subscriber.connect();
  };

  it('delivers a message once to gRPC and browser streams of both instances', async () => {
    const channelId = await group([2, 3, 4]);
    const subscribers = await Promise.all([
      subscribe(1, 'grpc', 0, [channelId]),
      subscribe(2, 'web', 0, [channelId]),
      subscribe(3, 'grpc', 1, [channelId]),
      subscribe(4, 'web', 1, [channelId]),
    ]);
    const { message } = await send(channelId, 'xin chào');
    for (const subscriber of subscribers) {
      await until(() => subscriber.events.length === 1);
      const [event] = subscriber.events;
      assert.equal(event?.change.case, 'messageCreated');
      assert.deepEqual(event.change.value.message, message);
      assert.deepEqual(subscriber.faults, []);
    }
  });

  // 48,000 deliveries take some 15 s on an idle machine.
  it('delivers all messages of 8 writers to 20 reconnecting subscribers in the order of ListMessages', {
    timeout: 240_000,
  }, async () => {
    const random = createRandom(20_261_122);
    console.log(`# seed ${random.seed}`);
    const members = Array.from({ length: 19 }, (_, index) => index + 2);
    const channelId = await group(members);
    const subscribers = await Promise.all(
      [1, ...members].map((as, index) =>
        subscribe(as, index % 2 === 0 ? 'grpc' : 'web', index % 4 < 2 ? 0 : 1, [channelId]),
      ),
    );
    // A Redis Cluster changes nothing but the relay, which each message passes.
    const perWriter = the.redis.cluster ? 60 : 300;
    const total = 8 * perWriter;
    let writing = true;
    const churn = subscribers.map(async (subscriber, index) => {
      while (writing) {
        const seen = subscriber.events.length;
        await until(
          () => !writing || subscriber.events.length > seen + 20 + random.below(200),
          'more events',
          60_000,
        );
        await subscriber.disconnect();
        const edge: Edge = random.below(2) === 0 ? 'grpc' : 'web';
        await subscriber.connect(the.client(EventService, user(index + 1), edge, random.below(2)));
      }
    });
    await Promise.all(
      Array.from({ length: 8 }, async (_, writer) => {
        for (let index = 0; index < perWriter; index += 1)
          await send(channelId, `${writer}:${index}`, writer + 1, writer % 2);
      }),
    );
    writing = false;
    await Promise.all(churn);
    const history = await readAll(the, channelId);
    assert.equal(history.length, total);
    for (const subscriber of subscribers) {
      await until(() => subscriber.messages(channelId).length >= total, 'all messages', 30_000);
      assert.deepEqual(subscriber.messages(channelId), history);
      assert.deepEqual(subscriber.faults, []);
    }
    await Promise.all(subscribers.map((subscriber) => subscriber.disconnect()));
  });

  it('resumes from a cursor after any number of missed events, page by page', async () => {
    const channelId = await group([2]);
    const subscriber = await subscribe(2, 'web', 0, [channelId]);
    await send(channelId, 'trước');
    await until(() => subscriber.events.length === 1);
    await subscriber.disconnect();
    const missed = Array.from({ length: 130 }, (_, index) => `lỡ ${index}`);
    for (const content of missed) await send(channelId, content);
    await subscriber.connect(the.client(EventService, user(2), 'grpc', 1));
    await until(() => subscriber.events.length === 131);
    assert.deepEqual(subscriber.messages(channelId), ['trước', ...missed]);
    assert.deepEqual(subscriber.faults, []);
  });

  it('sends RESET when the events after the cursor have expired, and continues from the head', async () => {
    const channelId = await group([2]);
    for (const content of ['a', 'b', 'c']) await send(channelId, content);
    await the.owner`delete from channel_events where channel_id = ${channelId} and seq <= 3`;
    const subscriber = new Subscriber(the.client(EventService, user(2)), [channelId]);
    open.push(subscriber);
    subscriber.cursors.set(channelId, 1n);
    await subscriber.connect();
    await until(() => subscriber.count('reset') === 1);
    assert.equal(subscriber.last('reset')?.value.headSeq, 5n);
    await send(channelId, 'd');
    await until(() => subscriber.events.length === 1);
    assert.deepEqual(subscriber.faults, []);
  });

  it('sends RESET when the cursor is beyond the head', async () => {
    const channelId = await group([2]);
    const subscriber = new Subscriber(the.client(EventService, user(2)), [channelId]);
    open.push(subscriber);
    subscriber.cursors.set(channelId, 1_000n);
    await subscriber.connect();
    await until(() => subscriber.count('reset') === 1);
    await send(channelId, 'tiếp');
    await until(() => subscriber.events.length === 1);
    assert.deepEqual(subscriber.faults, []);
  });

  it('opens channels that the caller creates or is added to, on every instance', async () => {
    const [creator, added] = await Promise.all([subscribe(31, 'grpc', 0), subscribe(32, 'web', 1)]);
    const channelId = await group([32], 31);
    for (const subscriber of [creator, added]) {
      await until(() => subscriber.last('channelOpened')?.value.channel?.channelId === channelId);
    }
    await send(channelId, 'chào mừng', 31);
    for (const subscriber of [creator, added]) {
      await until(() => subscriber.messages(channelId).length === 1);
      assert.deepEqual(subscriber.faults, []);
    }
  });

  it('closes the channel at once when the member is removed, and opens it again when the member rejoins', async () => {
    const channelId = await group([2, 33]);
    const [staying, removed] = await Promise.all([subscribe(2, 'grpc', 0), subscribe(33, 'web', 1)]);
    await send(channelId, 'trước');
    await until(() => removed.messages(channelId).length === 1);
    await the.client(MemberService, user(1)).removeMember({ channelId, userId: 33n });
    await until(() => removed.last('channelClosed')?.value.channelId === channelId);
    await send(channelId, 'bí mật');
    await until(() => staying.messages(channelId).includes('bí mật'));
    await the.client(MemberService, user(1)).addMembers({ channelId, userIds: [33n] });
    await until(() => removed.last('channelOpened')?.value.channel?.channelId === channelId);
    await send(channelId, 'trở lại');
    await until(() => removed.messages(channelId).includes('trở lại'));
    assert.deepEqual(removed.messages(channelId), ['trước', 'trở lại']);
    assert.deepEqual(removed.faults, []);
  });

  it("sends channel_closed for a cursor of a channel that is not the caller's, whether it exists or not", async () => {
    const channelId = await group([2]);
    const subscriber = new Subscriber(the.client(EventService, user(34)));
    open.push(subscriber);
    subscriber.cursors.set(channelId, 1n).set(987_654n, 1n);
    await subscriber.connect();
    await until(() => subscriber.count('channelClosed') === 2);
    assert.deepEqual([...subscriber.cursors.keys()], []);
  });

  it("rejects a stream of a channel that is not the caller's", async () => {
    const channelId = await group([2]);
    await rejects(subscribe(34, 'grpc', 0, [channelId]), Code.NotFound, 'CHANNEL_NOT_FOUND');
    await rejects(subscribe(34, 'web', 0, [channelId]), Code.NotFound, 'CHANNEL_NOT_FOUND');
    await rejects(subscribe(1, 'web', 0, [channelId, 987_654n]), Code.NotFound, 'CHANNEL_NOT_FOUND');
  });

  it("sends a moved read marker to the user's other devices only", async () => {
    const channelId = await group([2]);
    const { message } = await send(channelId, 'đọc đi');
    const [device, other] = await Promise.all([subscribe(2, 'web', 1), subscribe(1, 'grpc', 0)]);
    await the.client(MemberService, user(2)).markRead({ channelId, all: true });
    await until(() => device.count('readMarkerMoved') === 1);
    assert.equal(device.last('readMarkerMoved')?.value.lastReadMessageId, message?.id);
    assert.equal(device.last('readMarkerMoved')?.value.unreadCount, 0);
    assert.equal(other.count('readMarkerMoved'), 0);
  });

  it('sends the positions of the stream in heartbeats', async () => {
    const channelId = await group([2]);
    const subscriber = await subscribe(2, 'grpc', 0, [channelId]);
    assert.deepEqual(subscriber.last('started')?.value.heartbeatInterval, durationFromMs(400));
    await send(channelId, 'nhịp');
    await until(
      () => subscriber.last('heartbeat')?.value.heads.some((head) => head.channelId === channelId) === true,
    );
    const head = subscriber.others.findLast(
      (other) => other.case === 'heartbeat' && other.value.heads.length > 0,
    );
    assert.equal(
      head?.case === 'heartbeat' ? head.value.heads[0]?.seq : 0n,
      subscriber.cursors.get(channelId),
    );
  });

  it('delivers every message while Redis is down and after it has recovered', async () => {
    const channelId = await group([2, 3]);
    const subscribers = await Promise.all([
      subscribe(2, 'grpc', 0, [channelId]),
      subscribe(3, 'web', 1, [channelId]),
    ]);
    const contents: string[] = [];
    const post = async (count: number) => {
      for (let index = 0; index < count; index += 1) {
        contents.push(`tin ${contents.length}`);
        await send(channelId, contents.at(-1) ?? '', 1, index % 2);
      }
      for (const subscriber of subscribers)
        await until(() => subscriber.messages(channelId).length === contents.length);
    };
    await post(10);
    await the.redis.stop();
    await post(20);
    await the.redis.start();
    await post(20);
    for (const subscriber of subscribers) {
      assert.deepEqual(subscriber.messages(channelId), contents);
      assert.deepEqual(subscriber.faults, []);
    }
  });

  it('ends streams with UNAVAILABLE when the instance drains; they continue at another instance', async () => {
    const channelId = await group([2, 3]);
    const draining = await the.start();
    const instance = the.instances.indexOf(draining);
    const subscribers = await Promise.all([
      subscribe(2, 'grpc', instance, [channelId]),
      subscribe(3, 'web', instance, [channelId]),
    ]);
    await send(channelId, 'một');
    for (const subscriber of subscribers) await until(() => subscriber.events.length === 1);
    const drained = draining.drain();
    for (const subscriber of subscribers) await until(() => subscriber.error !== undefined);
    assert.deepEqual(
      subscribers.map(({ error }) => error?.code),
      [Code.Unavailable, Code.Unavailable],
    );
    await drained;
    await send(channelId, 'hai');
    for (const [index, subscriber] of subscribers.entries()) {
      await subscriber.connect(the.client(EventService, user(index + 2), 'grpc', 0));
      await until(() => subscriber.events.length === 2);
      assert.deepEqual(subscriber.faults, []);
    }
  });
});

async function readAll(the: App, channelId: bigint): Promise<string[]> {
  const contents: string[] = [];
  const client = the.client(MessageService, user(1));
  for (let pageToken = ''; ; ) {
    const page = await client.listMessages({
      channelId,
      pageSize: 100,
      pageToken,
      position: { case: 'afterMessageId', value: 0n },
    });
    contents.push(...page.messages.map(({ content }) => content));
    if (page.nextPageToken === '') return contents;
    pageToken = page.nextPageToken;
  }
}
