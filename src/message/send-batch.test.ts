import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { toBinary } from '@bufbuild/protobuf';
import { Code, createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { BatchSendMessagesResponseSchema, MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app, type Edge } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { resultOf } from '../../test/kit/send-stream.ts';
import { MAX_RESPONSE_BYTES } from '../rpc/response-size.ts';
import { detailTypes } from '../rpc/status.ts';

const ana: As = { userId: 1n, tenantId: 1n };

describe('BatchSendMessages', () => {
  let the: App;
  let channelId: bigint;

  before(async () => {
    the = await app({ LIMIT_REJECTION_DELAY_MS: '0' });
  });
  after(() => the.close());

  const arrange = async () => {
    const { channel } = await the.client(ChannelService, ana).createChannel({ name: 'Kho' });
    channelId = channel?.id ?? 0n;
  };
  const item = (content: string, change: object = {}) => ({
    channelId,
    content,
    requestId: randomUUID(),
    ...change,
  });
  const posted = async () => {
    const rows = await the.owner<{ content: string }[]>`
      select content from messages where channel_id = ${channelId} order by post_seq
    `;
    return rows.map(({ content }) => content);
  };
  const json = async () => {
    const authorization = `Bearer ${await the.tokens.sign(ana)}`;
    const transport = createConnectTransport({
      baseUrl: `http://${the.instances[0]?.webAddress}`,
      httpVersion: '1.1',
      useBinaryFormat: false,
      jsonOptions: { registry: detailTypes },
      interceptors: [
        (next) => (request) => {
          request.header.set('authorization', authorization);
          return next(request);
        },
      ],
    });
    return createClient(MessageService, transport);
  };
  const clients = {
    'the gRPC edge': async () => the.client(MessageService, ana, 'grpc'),
    'the web edge': async () => the.client(MessageService, ana, 'web'),
    'the web edge, JSON': json,
  };

  for (const [name, open] of Object.entries(clients))
    it(`returns an outcome for each item and keeps the order of a channel, ${name}`, async () => {
      await arrange();
      const client = await open();
      const requests = [
        item('một', { mentionUserIds: [2n] }),
        item('không có', { channelId: 999n }),
        item('hai'),
        item('\0'),
        item(''),
        item('ba'),
      ];
      const { outcomes } = await client.batchSendMessages({ requests });
      assert.deepEqual(
        outcomes.map(({ requestId }) => requestId),
        requests.map(({ requestId }) => requestId),
      );
      const expected = ['OK', 'CHANNEL_NOT_FOUND', 'OK', 'FIELD_INVALID', 'FIELD_INVALID', 'OK'];
      assert.deepEqual(outcomes.map(resultOf), expected);
      assert.deepEqual(await posted(), ['một', 'hai', 'ba']);
      const again = await client.batchSendMessages({ requests });
      assert.deepEqual(
        again.outcomes.map(resultOf),
        expected.map((result) => (result === 'OK' ? 'repeated' : result)),
      );
    });

  it('is rejected as a whole without items, and with more than 100', async () => {
    await arrange();
    const client = the.client(MessageService, ana);
    for (const count of [0, 101]) {
      const requests = Array.from({ length: count }, () => item('tin'));
      await rejects(client.batchSendMessages({ requests }), Code.InvalidArgument, 'FIELD_INVALID');
    }
    const large = Array.from({ length: 20 }, () => item('x'.repeat(60_000)));
    await rejects(client.batchSendMessages({ requests: large }), Code.ResourceExhausted, 'REQUEST_TOO_LARGE');
    assert.deepEqual(await posted(), []);
  });

  it('counts each item against the quota of its user', async () => {
    await arrange();
    const instance = await the.start({ LIMIT_SEND_PER_MINUTE: '3', LIMIT_REDIS_TIMEOUT_MS: '10000' });
    const client = the.client(MessageService, ana, 'grpc', the.instances.indexOf(instance));
    const requests = Array.from({ length: 5 }, (_, index) => item(`${index}`));
    const { outcomes } = await client.batchSendMessages({ requests });
    assert.equal(outcomes.filter((outcome) => resultOf(outcome) === 'RATE_LIMITED').length, 2);
    assert.equal((await posted()).length, 3);
  });

  it('replaces outcomes that do not fit in a response by an error', async () => {
    await arrange();
    const client = the.client(MessageService, ana);
    const requests = Array.from({ length: 60 }, () => item('ngắn'));
    const { outcomes: first } = await client.batchSendMessages({ requests });
    const content = `kho ${'👨‍👩‍👧‍👦'.repeat(2_600)}`;
    await Promise.all(
      first.map(({ outcome }) => {
        const messageId = outcome.case === 'response' ? (outcome.value.message?.id ?? 0n) : 0n;
        return client.editMessage({ channelId, messageId, content, updateMask: { paths: ['content'] } });
      }),
    );
    for (const edge of ['grpc', 'web'] satisfies Edge[]) {
      const response = await the.client(MessageService, ana, edge).batchSendMessages({ requests });
      assert.ok(toBinary(BatchSendMessagesResponseSchema, response).length <= MAX_RESPONSE_BYTES);
      const results = response.outcomes.map(resultOf);
      const fitting = results.lastIndexOf('repeated') + 1;
      assert.ok(fitting > 20 && fitting < 60, `${fitting} outcomes`);
      assert.deepEqual(results.slice(fitting), Array(60 - fitting).fill('OVERLOADED'));
      const rest = requests.slice(fitting);
      const { outcomes } = await client.batchSendMessages({ requests: rest });
      assert.deepEqual(outcomes.map(resultOf), Array(rest.length).fill('repeated'));
    }
  });
});
