import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { MessageType, SystemNoticeKind } from '#gen/serp/discuss/v1/message_pb.ts';
import type { App, As } from '../../test/kit/app.ts';
import {
  encryptionFixture,
  OTHER,
  openEncryptedApp,
  WITH_KEY,
  WITHOUT_KEY,
} from '../../test/kit/encryption-fixture.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';

const user = (userId: bigint, tenantId = 1n): As => ({ userId, tenantId });
const [ana, binh, foreigner] = [user(1n), user(2n), user(1n, 2n)];
const service: As = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };

describe('encrypted channels', () => {
  let the: App;

  before(async () => {
    the = await openEncryptedApp();
  });
  after(() => the.close());

  const { channels, messages, events, group, send, contents } = encryptionFixture(() => the);

  it('are switched on by admins, from then on and for good', async () => {
    const channelId = await group(false);
    const [early, late] = [await send(channelId, 'trước'), await send(channelId, 'sẽ sửa')];
    await rejects(channels(binh).enableEncryption({ channelId }), Code.PermissionDenied, 'ROLE_TOO_LOW');
    await rejects(channels(foreigner).enableEncryption({ channelId }), Code.NotFound, 'CHANNEL_NOT_FOUND');
    const off = channels(ana, WITHOUT_KEY).enableEncryption({ channelId });
    await rejects(off, Code.FailedPrecondition, 'ENCRYPTION_NOT_CONFIGURED');
    const stream = await new Subscriber(events(), [channelId]).connect();
    const { channel } = await channels().enableEncryption({ channelId });
    const repeated = await channels().enableEncryption({ channelId });
    assert.deepEqual(repeated.channel, channel);
    await send(channelId, 'sau');
    const edited = { content: 'đã sửa', updateMask: { paths: ['content'] } };
    await messages().editMessage({ channelId, messageId: late.id, ...edited });
    assert.deepEqual(await contents(channelId), ['trước', 'đã sửa', 'sau']);
    await until(() => stream.changes.length === 3, 'events');
    const [changed, noticed] = stream.events;
    assert.ok(changed?.change.case === 'channelChanged' && changed.change.value.channel?.encryptionTime);
    assert.ok(noticed?.change.case === 'messageCreated');
    const { notice, content: sentence = '' } = noticed.change.value.message ?? {};
    assert.deepEqual([notice?.kind, notice?.actorId], [SystemNoticeKind.ENCRYPTION_ENABLED, 1n]);
    assert.match(sentence, /searches/);
    const { messages: page } = await messages(binh).listMessages({ channelId });
    assert.equal(page.filter((message) => message.notice !== undefined).length, 1);
    const rows =
      await the.owner`select id, content from messages where channel_id = ${channelId} and content != ''`;
    assert.deepEqual(
      rows.map(({ id }) => id),
      [early.id],
    );
    await stream.disconnect();
  });

  it('may be direct channels and topics', async () => {
    const { channel: direct } = await channels().getOrCreateDirectChannel({ userId: 3n, encrypted: true });
    const entity = { type: 'order', id: 5n };
    const topic = { name: 'Đơn 5', entity, memberUserIds: [1n, 2n], encrypted: true };
    const { channel } = await channels(service).getOrCreateTopicChannel(topic);
    const { channel: plain } = await channels().getOrCreateDirectChannel({ userId: 2n });
    await channels(binh).enableEncryption({ channelId: plain?.id ?? 0n });
    const { messages: history } = await messages().listMessages({ channelId: plain?.id ?? 0n });
    assert.deepEqual(
      history.map(({ notice }) => notice?.kind),
      [SystemNoticeKind.ENCRYPTION_ENABLED],
    );
    for (const channelId of [direct?.id, channel?.id, plain?.id]) {
      const message = await send(channelId ?? 0n, 'bí mật');
      const [row] = await the.owner`select content, encrypted_content from messages where id = ${message.id}`;
      assert.ok(row?.['content'] === '' && row['encryptedContent'] !== null);
    }
    await send(channel?.id ?? 0n, 'báo cáo', { type: MessageType.SYSTEM }, service);
    assert.deepEqual(await contents(channel?.id ?? 0n), ['bí mật', 'báo cáo']);
  });

  it('are switched on while members send, without losing, reordering or exposing a message', async () => {
    const channelId = await group(false);
    const stream = await new Subscriber(events(), [channelId]).connect();
    const texts = Array.from({ length: 60 }, (_, index) => `tin ${index}`);
    const sending = Promise.all(
      texts.map((text, index) => send(channelId, text, {}, [ana, binh][index % 2])),
    );
    const { channel } = await channels().enableEncryption({ channelId });
    const sent = await sending;
    assert.deepEqual(new Set(await contents(channelId)).size, 60);
    assert.equal(new Set(sent.map(({ position }) => position)).size, 60);
    const posted = () =>
      stream.events.flatMap(({ change }) =>
        change.case === 'messageCreated' && change.value.message?.notice === undefined
          ? [change.value.message?.content]
          : [],
      );
    await until(() => posted().length === 60);
    assert.deepEqual(stream.faults, []);
    const received = posted();
    assert.deepEqual(received.toSorted(), texts.toSorted());
    const on = stream.events.find(({ change }) => change.case === 'channelChanged')?.seq ?? 0n;
    const rows = await the.owner<{ id: bigint; seq: bigint; content: string }[]>`
      select id, event_seq as seq, content from messages where channel_id = ${channelId} order by post_seq
    `;
    assert.ok(channel?.encryptionTime !== undefined && on > 0n);
    assert.ok(rows.every(({ seq, content }) => seq < on || content === ''));
    assert.ok(rows.every(({ id }, index) => index === 0 || id > (rows[index - 1]?.id ?? 0n)));
    await stream.disconnect();
  });

  it('keep the order of ids when several instances send', async () => {
    const channelId = await group();
    const sending = Array.from({ length: 40 }, (_, index) =>
      send(channelId, `tin ${index}`, {}, index % 2 === 0 ? ana : binh, index % 3 === 0 ? OTHER : WITH_KEY),
    );
    await Promise.all(sending);
    const rows = await the.owner<{ id: bigint }[]>`
      select id from messages where channel_id = ${channelId} and sender_id > 0 order by post_seq
    `;
    const ids = rows.map(({ id }) => id);
    assert.equal(ids.length, 40);
    assert.deepEqual(
      ids,
      ids.toSorted((a, b) => (a < b ? -1 : 1)),
    );
    assert.equal((await contents(channelId)).length, 40);
  });

  it('return the same message for a repeated call, and store no hash of its text', async () => {
    const channelId = await group(false);
    const requests = ['một', 'hai'].map((content) => ({ channelId, content, requestId: randomUUID() }));
    const [before, later] = requests;
    assert.ok(before && later);
    const first = await messages().sendMessage(before);
    await channels().enableEncryption({ channelId });
    const second = await messages().sendMessage(later);
    for (const [request, sent] of [
      [before, first],
      [later, second],
    ] as const) {
      const again = await messages().sendMessage(request);
      assert.deepEqual([again.message, again.repeatedRequest], [sent.message, true]);
      const other = messages().sendMessage({ ...request, content: 'khác' });
      await rejects(other, Code.AlreadyExists, 'REQUEST_ID_REUSED');
    }
    const hashes = await the.owner<{ length: number }[]>`
      select length(payload_hash) as length from idempotency_keys where channel_id = ${channelId} and method = 'SendMessage'
      order by created_at
    `;
    assert.deepEqual(
      hashes.map(({ length }) => length),
      [32, 40],
    );
  });

  it('deliver a replay and continue after a reset', async () => {
    const channelId = await group();
    const stream = await new Subscriber(events(), [channelId]).connect();
    const other = await new Subscriber(events(), [channelId]).connect();
    await send(channelId, 'một');
    await until(() => stream.changes.length === 1);
    await stream.disconnect();
    for (const text of ['hai', 'ba']) await send(channelId, text);
    await stream.connect();
    await until(() => stream.changes.length === 3);
    await stream.disconnect();
    for (let index = 0; index < 7; index += 1) await send(channelId, `tin ${index}`);
    // What the instance has not delivered yet would not count as missed.
    await until(() => other.changes.length === 10);
    await stream.connect();
    await until(() => stream.count('reset') === 1);
    await send(channelId, 'cuối');
    const texts = () =>
      stream.events.flatMap(({ change }) =>
        change.case === 'messageCreated' ? [change.value.message?.content] : [],
      );
    await until(() => texts().length === 4);
    assert.deepEqual(texts(), ['một', 'hai', 'ba', 'cuối']);
    await Promise.all([stream.disconnect(), other.disconnect()]);
  });
});
