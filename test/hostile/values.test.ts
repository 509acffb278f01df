import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Timestamp, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import { BadRequestSchema } from '#gen/google/rpc/error_details_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { SearchService } from '#gen/serp/discuss/v1/search_service_pb.ts';
import { type App, type As, app } from '../kit/app.ts';
import { indexed } from '../kit/indexed.ts';
import { rejects } from '../kit/rejects.ts';

const owner: As = { userId: 1n, tenantId: 1n };

describe('values that one codec accepts and another cannot represent', () => {
  let testApp: App;
  let channelId: bigint;

  before(async () => {
    testApp = await app();
    const { channel } = await testApp.client(ChannelService, owner).createChannel({ name: 'Kho' });
    channelId = channel?.id ?? 0n;
  });
  after(() => testApp.close());

  const send = (rest: object) =>
    testApp.client(MessageService, owner).sendMessage({ channelId, content: 'x', ...rest });
  const isInvalid = (call: Promise<unknown>) => rejects(call, Code.InvalidArgument, 'FIELD_INVALID');
  const year300000: Partial<Timestamp> = { seconds: 9_404_977_564_800n, nanos: 0 };

  it('are rejected: times outside the years 0001 to 9999', async () => {
    const poll = { options: ['một', 'hai'], scheduledCloseTime: timestampFromMs(0) };
    for (const seconds of [
      year300000.seconds ?? 0n,
      253_402_300_800n,
      2n ** 62n,
      -(2n ** 62n),
      -62_135_596_801n,
    ]) {
      const time = { seconds, nanos: 0 };
      await isInvalid(send({ type: MessageType.POLL, poll: { ...poll, scheduledCloseTime: time } }));
      await isInvalid(testApp.client(SearchService, owner).searchMessages({ query: 'x', afterTime: time }));
    }
    const nanos = { seconds: 4_000_000_000n, nanos: 1_000_000_000 };
    await isInvalid(send({ type: MessageType.POLL, poll: { ...poll, scheduledCloseTime: nanos } }));
  });

  it('are rejected: numbers that are not finite, in any depth of metadata', async () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
      await isInvalid(send({ metadata: { a: [{ b: value }] } }));
  });

  it('are rejected: half a surrogate pair in a JSON string, in content and in keys', async () => {
    const address = testApp.instances[0]?.webAddress;
    const token = await testApp.tokens.sign(owner);
    const post = (body: string) =>
      fetch(`http://${address}/serp.discuss.v1.MessageService/SendMessage`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
        body,
      });
    for (const body of [
      `{"channelId":"${channelId}","content":"a\\ud800"}`,
      `{"channelId":"${channelId}","content":"a","metadata":{"\\udc00":1}}`,
    ])
      assert.equal((await post(body)).status, 400);
  });

  it('leave the channel readable in JSON afterwards', async () => {
    const posted = await send({ content: 'đọc được' });
    const { messages } = await testApp.client(MessageService, owner, 'web').listMessages({ channelId });
    assert.equal(messages.at(-1)?.id, posted.message?.id);
  });

  it('are accepted: the largest ids', async () => {
    const largest = 2n ** 63n - 1n;
    const user: As = { userId: largest, tenantId: largest };
    const created = await testApp
      .client(ChannelService, user)
      .createChannel({ name: 'Lớn', memberUserIds: [largest - 1n] });
    const own = created.channel?.id ?? 0n;
    await testApp.client(MessageService, user).sendMessage({ channelId: own, content: 'kiện hàng' });
    await indexed(testApp);
    const found = async (senderIds: bigint[]) =>
      (await testApp.client(SearchService, user).searchMessages({ query: 'kiện', senderIds })).messages
        .length;
    assert.deepEqual(
      [await found([]), await found([largest]), await found([largest - 2n ** 61n])],
      [1, 1, 0],
    );
    for (const side of ['afterMessageId', 'beforeMessageId', 'aroundMessageId'] as const) {
      const position = { case: side, value: largest };
      const { messages } = await testApp
        .client(MessageService, user)
        .listMessages({ channelId: own, position });
      assert.equal(messages.length, side === 'afterMessageId' ? 0 : 1);
    }
  });

  it('give one violation for a list of 100,000 invalid items', async () => {
    const error = await send({ mentionUserIds: Array(100_000).fill(0n) }).then(
      () => undefined,
      (reason: unknown) => ConnectError.from(reason),
    );
    assert.equal(error?.code, Code.InvalidArgument);
    const [details] = error?.findDetails(BadRequestSchema) ?? [];
    assert.equal(details?.fieldViolations.length, 1);
  });
});
