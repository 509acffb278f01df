import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import {
  ChannelClosedReason,
  EventService,
  type SubscribeResponse,
  SubscribeResponseSchema,
} from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../../test/kit/app.ts';
import { ChannelCursors } from '../../../test/kit/channel-cursors.ts';
import { until } from '../../../test/kit/until.ts';
import type { Sink } from '../../rpc/call.ts';
import type { Frame } from '../../rpc/frame.ts';
import { toFrame } from '../log/wire.ts';
import type { SubscriberStream } from './subscriber-stream.ts';
import type { ChannelState, Subscription } from './subscription.ts';

const BUFFER_BYTES = 20_000;
const LARGE = 'x'.repeat(9_000);
// Beyond the ids of the tests' channels.
const FAR = 1n << 60n;
const owner: As = { userId: 1n, tenantId: 1n };

/** A connection that takes what was written when the test says so. */
class ManualSink implements Sink {
  buffered = 0;
  readonly payloads: SubscribeResponse['payload'][] = [];
  readonly cursors = new ChannelCursors();
  #drained: (() => void) | undefined;

  write(frame: Frame): void {
    this.buffered += frame.binary.length;
    const { payload } = fromBinary(SubscribeResponseSchema, frame.binary);
    this.payloads.push(payload);
    this.cursors.take(payload);
  }

  onDrain(callback: () => void): void {
    this.#drained = callback;
  }

  drain(): void {
    this.buffered = 0;
    const drained = this.#drained;
    this.#drained = undefined;
    drained?.();
  }

  get events(): number {
    return this.payloads.filter((payload) => payload.case === 'event').length;
  }

  get closed(): ChannelClosedReason[] {
    return this.payloads.flatMap((payload) =>
      payload.case === 'channelClosed' ? [payload.value.reason] : [],
    );
  }
}

describe('a stream with a connection that takes nothing', () => {
  let the: App;
  let reader: As = { userId: 1n, tenantId: 1n };

  // The log's poller reports the joins of a test once more during the next one, which must not open a channel there.
  beforeEach(() => {
    reader = { userId: reader.userId + 1n, tenantId: 1n };
  });
  before(async () => {
    the = await app({
      EVENT_STREAM_BUFFER_BYTES: `${BUFFER_BYTES}`,
      EVENT_REPLAY_PAGE: '5',
      EVENT_REPLAY_EVENTS: '30',
      EVENT_HEARTBEAT_MS: '600000',
    });
  });
  after(() => the.close());

  const group = async () => {
    const { channel } = await the
      .client(ChannelService, owner)
      .createChannel({ name: 'Kho', private: true, memberUserIds: [reader.userId] });
    return channel?.id ?? 0n;
  };
  const send = async (channelId: bigint, count: number, content = LARGE) => {
    for (let index = 0; index < count; index += 1)
      await the.client(MessageService, owner).sendMessage({ channelId, content });
  };
  const head = async (channelId: bigint) => {
    const [row] = await the.owner<
      { seq: bigint }[]
    >`select event_seq as seq from channels where id = ${channelId}`;
    return row?.seq ?? 0n;
  };
  /** Of the reader's channels only: nor may a join that is reported once more open a channel after the departure. */
  const states = async (channelIds: readonly bigint[]): Promise<ChannelState[]> =>
    the.owner<{ channelId: bigint; headSeq: bigint }[]>`
      select c.id as channel_id, c.event_seq as head_seq
      from channels c
      join channel_members m on m.channel_id = c.id and is_member_status(m.status)
      where c.id = any(${the.owner.array([...channelIds], 1016)}) and m.user_id = ${reader.userId}
      order by c.id
    `;
  const removeReader = (channelId: bigint) =>
    the.client(MemberService, owner).removeMember({ channelId, userId: reader.userId });
  const open = async (
    sink: Sink,
    listStates: Subscription['listStates'],
    cursors: ReadonlyMap<bigint, bigint> = new Map(),
  ): Promise<{ stream: SubscriberStream; close(): void }> => {
    const [instance] = the.instances;
    assert.ok(instance);
    const { hub, log } = instance.deps;
    const call = {
      edge: 'grpc',
      method: EventService.method.subscribe,
      caller: {
        kind: 'user',
        userId: reader.userId,
        tenantId: reader.tenantId,
        name: '',
        roles: new Set<string>(),
      },
      signal: new AbortController().signal,
      ended: undefined,
      deadline: undefined,
      onDrain() {},
      requestId: '',
      log,
    } as const;
    const subscription = { only: undefined, watched: new Set<bigint>(), deviceId: '', listStates };
    const stream = await hub.open(call, sink, subscription, cursors);
    return { stream, close: () => hub.closeStream(stream) };
  };

  it('receives no more than the buffer, and continues in order in each channel when it has drained', async () => {
    const channelIds = [await group(), await group()] as const;
    const sink = new ManualSink();
    const { close } = await open(sink, () => states(channelIds));
    for (let round = 0; round < 7; round += 1) for (const channelId of channelIds) await send(channelId, 1);
    await until(() => sink.events === 3, 'a full connection');
    for (let events = 0; sink.events < 14; ) {
      assert.ok(sink.buffered <= BUFFER_BYTES + 2 * LARGE.length, `${sink.buffered} bytes wait`);
      events = sink.events;
      sink.drain();
      await until(() => sink.events > events, 'events after draining');
    }
    await send(channelIds[1], 1, 'hết');
    sink.drain();
    await until(() => sink.events === 15, 'the last event');
    assert.deepEqual(sink.cursors.faults, []);
    assert.equal(sink.cursors.resets, 0);
    close();
  });

  it('is named its channels page by page, the next page when it has drained', async () => {
    const channelId = await group();
    const first = await states([channelId]);
    // A thousand states of such channels fill the buffer.
    const others = Array.from({ length: 2_500 }, (_, index) => ({
      channelId: FAR + BigInt(index),
      headSeq: FAR,
    }));
    const sink = new ManualSink();
    const started = () => sink.payloads.filter((payload) => payload.case === 'started').length;
    const opening = open(sink, async (_, after, limit) =>
      [...first, ...others].filter((state) => state.channelId > after).slice(0, limit),
    );
    for (let pages = 1; pages < 3; pages += 1) {
      await until(() => started() === pages, 'a page');
      await send(channelId, 1, 'x');
      assert.deepEqual([started(), sink.events], [pages, 0]);
      sink.drain();
    }
    const { close } = await opening;
    await until(() => sink.events === 2, 'the events of the first page');
    assert.deepEqual([sink.cursors.seqs.size, started(), sink.cursors.faults], [2_501, 3, []]);
    close();
  });

  it('receives RESET with the head when it missed more events than are replayed', async () => {
    const channelId = await group();
    const sink = new ManualSink();
    const { close } = await open(sink, () => states([channelId]));
    await send(channelId, 3);
    await send(channelId, 31, 'x');
    sink.drain();
    await until(() => sink.cursors.resets === 1, 'RESET');
    assert.equal(sink.cursors.seqs.get(channelId), await head(channelId));
    await send(channelId, 1, 'tiếp');
    await until(() => sink.events === 4, 'the event after RESET');
    assert.deepEqual(sink.cursors.faults, []);
    close();
  });

  it('receives no more signals, presence and typing than its buffer holds', async () => {
    const channelId = await group();
    const sink = new ManualSink();
    const { close } = await open(sink, () => states([channelId]));
    const { broadcast } = the.instances[0]?.deps.hub ?? assert.fail();
    for (let version = 1n; version <= 5_000n; version += 1n) {
      const [userId, { tenantId }] = [owner.userId, reader];
      const presence = toFrame({ case: 'presence', value: { users: [{ userId }] } });
      broadcast.presence({ tenantId, userId, version, channelIds: [channelId] }, presence);
      broadcast.typing({ channelId, userId, until: Date.now() });
      broadcast.signal(tenantId, reader.userId, presence);
    }
    assert.ok(sink.buffered > BUFFER_BYTES && sink.buffered < BUFFER_BYTES + 100, `${sink.buffered} bytes`);
    close();
  });

  it('ends when it does not take many messages that cannot be dropped', async () => {
    const channelId = await group();
    const sink = new ManualSink();
    const { stream, close } = await open(sink, () => states([channelId]));
    await send(channelId, 4);
    await until(() => sink.events === 3, 'a full connection');
    const full = sink.buffered;
    const closed = toFrame({ case: 'channelClosed', value: { channelId: 1n << 60n } });
    while (sink.buffered <= full + BUFFER_BYTES) stream.send(closed);
    await assert.rejects(stream.failed, /does not read the stream/);
    close();
  });

  it('receives channel_closed at once when the member is removed, and no event when it has drained', async () => {
    const channelId = await group();
    const sink = new ManualSink();
    const { close } = await open(sink, () => states([channelId]));
    await send(channelId, 4);
    await until(() => sink.events === 3, 'a full connection');
    await removeReader(channelId);
    await until(() => sink.closed.length === 1, 'channel_closed');
    assert.deepEqual(sink.closed, [ChannelClosedReason.NOT_MEMBER]);
    await send(channelId, 1, 'bí mật');
    sink.drain();
    await send(channelId, 1, 'bí mật');
    assert.equal(sink.events, 3);
    close();
  });

  it('receives nothing that follows the removal of its member while the states were being read', async () => {
    const channelId = await group();
    const other = await open(new ManualSink(), () => states([channelId]));
    const sink = new ManualSink();
    const { close } = await open(
      sink,
      async () => {
        const before = await states([channelId]);
        await removeReader(channelId);
        await send(channelId, 1, 'bí mật');
        return before;
      },
      new Map([[channelId, 1n]]),
    );
    await send(channelId, 1, 'bí mật');
    assert.deepEqual(
      sink.payloads.map((payload) => payload.case),
      ['started', 'channelClosed'],
    );
    other.close();
    close();
  });

  it('receives channel_opened for a join while the states were being read', async () => {
    const channelId = await group();
    await removeReader(channelId);
    let reads = 0;
    const sink = new ManualSink();
    const { close } = await open(sink, async (channelIds) => {
      reads += 1;
      if (reads > 1) return states(channelIds ?? []);
      await the.client(MemberService, owner).addMembers({ channelId, userIds: [reader.userId] });
      return [];
    });
    await until(() => sink.payloads.some((payload) => payload.case === 'channelOpened'), 'channel_opened');
    await send(channelId, 1, 'chào');
    const headSeq = await head(channelId);
    await until(() => sink.cursors.seqs.get(channelId) === headSeq, 'the message');
    assert.deepEqual(sink.cursors.faults, []);
    close();
  });
});
