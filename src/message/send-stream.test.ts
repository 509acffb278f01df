import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService, type SendOutcome } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app, CONCURRENT } from '../../test/kit/app.ts';
import { resultOf, SendStream } from '../../test/kit/send-stream.ts';
import { until } from '../../test/kit/until.ts';

const ana: As = { userId: 1n, tenantId: 1n };
const binh: As = { userId: 2n, tenantId: 1n };
const operator: As = { userId: 0n, tenantId: 0n, roles: ['discuss.admin'] };

describe('SendMessages', () => {
  let the: App;

  before(async () => {
    the = await app({ ...CONCURRENT, AUTH_CLOCK_TOLERANCE_MS: '0', LIMIT_REJECTION_DELAY_MS: '0' });
  });
  after(() => the.close());

  const createGroup = async (memberUserIds: bigint[] = [binh.userId]) => {
    const { channel } = await the.client(ChannelService, ana).createChannel({ name: 'Kho', memberUserIds });
    return channel?.id ?? 0n;
  };
  const open = async (as: As = ana, headers: Record<string, string> = {}, instance = 0) => {
    const authorization = `Bearer ${await the.tokens.sign(as)}`;
    return new SendStream(the.instances[instance]?.grpcAddress ?? '', { authorization, ...headers });
  };
  const posted = async (channelId: bigint) => {
    const rows = await the.owner<{ content: string }[]>`
      select content from messages where channel_id = ${channelId} and message_type != 'SYSTEM' order by post_seq
    `;
    return rows.map(({ content }) => content);
  };

  it('posts each message, names its request in the outcome, and ends with OK after the last', async () => {
    const channelId = await createGroup();
    using stream = await open();
    const ids = ['một', 'hai', 'ba'].map((content) => stream.send({ channelId, content }));
    stream.end();
    assert.equal(await stream.untilEnded(), 'OK');
    assert.deepEqual(new Set(stream.outcomes.map(({ requestId }) => requestId)), new Set(ids));
    assert.deepEqual(await posted(channelId), ['một', 'hai', 'ba']);
    const [shown] = stream.outcomes;
    const { message } = shown?.outcome.case === 'response' ? shown.outcome.value : {};
    const read = await the
      .client(MessageService, binh)
      .getMessage({ channelId, messageId: message?.id ?? 0n });
    assert.deepEqual(message, read.message);
  });

  it('keeps the order of each channel, though some messages need more reads than others', async () => {
    const channels = await Promise.all(Array.from({ length: 3 }, () => createGroup()));
    const parents = await Promise.all(
      channels.map((channelId) => the.client(MessageService, ana).sendMessage({ channelId, content: 'đầu' })),
    );
    using stream = await open();
    for (let count = 0; count < 300; count += 1) {
      const at = count % channels.length;
      const slower = [
        {},
        { mentionUserIds: [2n] },
        { replyToMessageId: parents[at]?.message?.id ?? 0n, alsoInChannel: true },
      ];
      stream.send({
        channelId: channels[at] ?? 0n,
        content: `${count}`,
        ...slower[Math.floor(count / 3) % slower.length],
      });
    }
    stream.end();
    assert.equal(await stream.untilEnded(), 'OK');
    assert.deepEqual(stream.outcomes.map(resultOf), Array(300).fill('OK'));
    for (const [at, channelId] of channels.entries()) {
      const expected = Array.from({ length: 100 }, (_, index) => `${index * 3 + at}`);
      assert.deepEqual(await posted(channelId), ['đầu', ...expected]);
    }
  });

  it('posts each message once when all are sent again after a lost connection', async () => {
    await the.start();
    const channelId = await createGroup();
    const requests = Array.from({ length: 200 }, (_, index) => ({
      channelId,
      content: `${index}`,
      requestId: randomUUID(),
    }));
    const first = await open();
    for (const request of requests) first.send(request);
    await first.untilOutcomes(20);
    first[Symbol.dispose]();
    using second = await open(ana, {}, 1);
    for (const request of requests) second.send(request);
    second.end();
    assert.equal(await second.untilEnded(), 'OK');
    const results = second.outcomes.map(resultOf);
    assert.deepEqual(new Set(results), new Set(results.includes('OK') ? ['OK', 'repeated'] : ['repeated']));
    const contents = await posted(channelId);
    assert.equal(contents.length, 200);
    assert.deepEqual(new Set(contents), new Set(requests.map(({ content }) => content)));
  });

  it('returns the error of SendMessage for an item, and goes on', async () => {
    const channelId = await createGroup();
    const used = randomUUID();
    await the.client(MessageService, ana).sendMessage({ channelId, content: 'trước', requestId: used });
    using stream = await open();
    const valid = { channelId, content: 'tin' };
    const cases: [object, string][] = [
      [{ channelId: 999n }, 'CHANNEL_NOT_FOUND'],
      [{ content: '' }, 'FIELD_INVALID'],
      [{ content: 'a\0b' }, 'FIELD_INVALID'],
      [{ requestId: 'none' }, 'FIELD_INVALID'],
      [{ requestId: used }, 'REQUEST_ID_REUSED'],
      [{ type: MessageType.SYSTEM }, 'CALLER_NOT_ALLOWED'],
      [{ content: 'x'.repeat(300_000) }, 'REQUEST_TOO_LARGE'],
      [{}, 'OK'],
    ];
    const expected = cases.map(([change, result]) => [stream.send({ ...valid, ...change }), result]);
    // A request that ends within a field has no readable id.
    stream.sendBytes(Buffer.from([0x0a, 0x7f, 1]));
    stream.sendBytes(new Uint8Array());
    stream.end();
    assert.equal(await stream.untilEnded(), 'OK');
    const results = stream.outcomes.map((outcome) => [outcome.requestId, resultOf(outcome)]);
    assert.deepEqual(new Set(results.map(String)), new Set([...expected, ['', 'FIELD_INVALID']].map(String)));
    assert.equal(results.length, cases.length + 2);
    assert.deepEqual(await posted(channelId), ['trước', 'tin']);
  });

  it('gives an error the same details and language as SendMessage', async () => {
    using stream = await open(ana, { 'accept-language': 'vi', 'x-request-id': 'gateway-1' });
    const requestId = stream.send({ channelId: 0n, content: 'tin' });
    const [outcome] = await stream.untilOutcomes(1);
    const { details } = await the
      .client(MessageService, ana)
      .sendMessage(
        { channelId: 0n, content: 'tin', requestId },
        { headers: { 'accept-language': 'vi', 'x-request-id': 'gateway-1' } },
      )
      .then(
        () => assert.fail('accepted'),
        (error) => error,
      );
    assert.equal(outcome?.outcome.case, 'error');
    assert.deepEqual(
      errorOf(outcome)?.details.map(({ typeUrl, value }) => [typeUrl.split('/')[1], Buffer.from(value)]),
      details.map(({ type, value }: { type: string; value: Uint8Array }) => [type, Buffer.from(value)]),
    );
  });

  it('counts each message against the quota of its user', async () => {
    const instance = await the.start({ LIMIT_SEND_PER_MINUTE: '3', LIMIT_REDIS_TIMEOUT_MS: '10000' });
    const channelId = await createGroup();
    using stream = await open(ana, {}, the.instances.indexOf(instance));
    for (let count = 0; count < 5; count += 1) stream.send({ channelId, content: `${count}` });
    stream.end();
    assert.equal(await stream.untilEnded(), 'OK');
    assert.deepEqual(stream.outcomes.map(resultOf).toSorted(), [
      'OK',
      'OK',
      'OK',
      'RATE_LIMITED',
      'RATE_LIMITED',
    ]);
    assert.deepEqual(await posted(channelId), ['0', '1', '2']);
  });

  it('posts as the user that a service names in its headers', async () => {
    const channelId = await createGroup();
    using stream = await open(
      { userId: 0n, tenantId: 1n, roles: ['discuss.service'] },
      { 'x-user-id': `${binh.userId}` },
    );
    stream.send({ channelId, content: 'thay Bình' });
    const [outcome] = await stream.untilOutcomes(1);
    const { message } = outcome?.outcome.case === 'response' ? outcome.outcome.value : {};
    assert.equal(message?.senderId, binh.userId);
  });

  it('ends when its token expires or its access is revoked', async () => {
    using expiring = await open({ ...ana, expiresIn: 3 });
    const user: As = { userId: 77n, tenantId: 1n };
    using revoked = await open(user);
    revoked.send({ channelId: 999n, content: 'tin' });
    await revoked.untilOutcomes(1);
    await the
      .client(AdminService, operator)
      .revokeAccess({ subject: { case: 'user', value: { tenantId: 1n, userId: 77n } } });
    assert.equal(await expiring.untilEnded(), 'UNAUTHENTICATED TOKEN_EXPIRED');
    assert.equal(await revoked.untilEnded(), 'UNAUTHENTICATED ACCESS_REVOKED');
  });

  it('is not served by the web edge', async () => {
    const client = the.client(MessageService, ana, 'web');
    const outcomes = client.sendMessages((async function* () {})());
    await assert.rejects(
      async () => {
        for await (const _ of outcomes) assert.fail('served');
      },
      { code: Code.Unimplemented },
    );
  });

  it('records outcomes in the metrics', async () => {
    const channelId = await createGroup();
    const instance = await the.start();
    using stream = await open(ana, {}, the.instances.indexOf(instance));
    stream.send({ channelId, content: 'tin' });
    stream.send({ channelId: 999n, content: 'tin' });
    await stream.untilOutcomes(2);
    const text = () => instance.deps.metrics.registry.getSingleMetricAsString('discuss_items_total');
    await until(async () => (await text()).includes('code="NOT_FOUND"} 1'), 'the metric');
    assert.match(await text(), /method="SendMessages",code="OK"\} 1/);
  });
});

function errorOf(outcome: SendOutcome | undefined) {
  return outcome?.outcome.case === 'error' ? outcome.outcome.value : undefined;
}
