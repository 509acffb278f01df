import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../../test/kit/app.ts';
import { Subscriber } from '../../../test/kit/stream.ts';
import { until } from '../../../test/kit/until.ts';
import { Backlog } from './backlog.ts';

const MESSAGES = 12;
const PAGE_BYTES = 25_000;
const lan: As = { userId: 1n, tenantId: 1n };

describe('a page of the log', () => {
  let the: App;
  before(async () => {
    the = await app({ EVENT_STREAM_BUFFER_BYTES: `${PAGE_BYTES}` });
  });
  after(() => the.close());

  it('ends at a number of bytes, and streams that catch up receive every event', async () => {
    const { channel } = await the.client(ChannelService, lan).createChannel({ name: 'Kho' });
    const channelId = channel?.id ?? 0n;
    const subscriber = new Subscriber(the.client(EventService, lan), [channelId]);
    await subscriber.connect();
    await subscriber.disconnect();
    const contents = Array.from({ length: MESSAGES }, (_, index) => `${index} `.padEnd(9_000, 'x'));
    for (const content of contents) await the.client(MessageService, lan).sendMessage({ channelId, content });

    await subscriber.connect();
    await until(() => subscriber.events.length === MESSAGES, 'all events');
    await subscriber.disconnect();
    assert.deepEqual(subscriber.faults, []);
    assert.deepEqual(
      subscriber.events.map(
        ({ change }) => change.case === 'messageCreated' && change.value.message?.content,
      ),
      contents,
    );

    const { db, encryption } = the.instances[0]?.deps ?? assert.fail('no instance');
    const backlog = new Backlog(db.log, { events: 500, bytes: PAGE_BYTES }, encryption.keys);
    const sizes: number[] = [];
    for (let after = (subscriber.events[0]?.seq ?? 0n) - 1n; ; ) {
      const page = await backlog.read(channelId, after);
      sizes.push(page.frames.length);
      if (!page.isFull) break;
      after += BigInt(page.frames.length);
    }
    assert.deepEqual(sizes, [3, 3, 3, 3, 0]);
  });
});
