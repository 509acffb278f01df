import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { after, before, describe, it } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { ListMessagesRequestSchema, MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { envelope } from '../../src/rpc/frame.ts';
import { type App, type As, app, type Edge } from '../kit/app.ts';
import { until } from '../kit/until.ts';

const CALLS = 100;
const MESSAGES = 50;
const CONTENT_BYTES = 10_000;
const PENDING_BYTES = 4_000_000;
const ana: As = { userId: 1n, tenantId: 1n };
const bo: As = { userId: 2n, tenantId: 1n };

const contentTypes = { grpc: 'application/grpc', web: 'application/grpc-web+proto' };

describe('responses that a client does not read', () => {
  let the: App;
  let channelId: bigint;

  before(async () => {
    the = await app({
      PENDING_RESPONSE_BYTES: `${PENDING_BYTES}`,
      PENDING_RESPONSE_TIMEOUT_MS: '3000',
    });
    const { channel } = await the
      .client(ChannelService, ana)
      .createChannel({ name: 'Kho', memberUserIds: [bo.userId] });
    channelId = channel?.id ?? 0n;
    for (let index = 0; index < MESSAGES; index += 1)
      await the.client(MessageService, ana).sendMessage({ channelId, content: 'x'.repeat(CONTENT_BYTES) });
  });
  after(() => the.close());

  const list = (as: As, edge: Edge) => the.client(MessageService, as, edge).listMessages({ channelId });

  for (const edge of ['grpc'] as const)
    it(`are bounded in bytes over all calls of a user, cut off in time, and cost other users nothing: ${edge}`, async () => {
      const token = await the.tokens.sign(ana);
      using client = openWithoutReading(the, edge, token);
      for (let call = 0; call < CALLS; call += 1) client.call(channelId);
      await until(() => client.responses === CALLS, 'all responses');
      assert.ok(client.rejections >= CALLS / 2, `${client.rejections} of ${CALLS} rejected`);
      await assert.rejects(list(ana, edge), /are not read/);
      // The other edge shares the count.
      await assert.rejects(list(ana, edge === 'grpc' ? 'web' : 'grpc'), /are not read/);
      assert.ok((await list(bo, edge)).messages.length > 0);
      await until(() => client.open === 0, 'the end of all calls');
      assert.ok((await list(ana, edge)).messages.length > 0);
    });
});

/** A client with a flow-control window of zero: it receives the headers of responses only. */
function openWithoutReading(the: App, edge: Edge, token: string) {
  const [instance] = the.instances;
  const address = edge === 'grpc' ? instance?.grpcAddress : instance?.webAddress;
  const session = http2.connect(`http://${address}`, { settings: { initialWindowSize: 0 } });
  const counts = { responses: 0, rejections: 0, open: 0 };
  return {
    get responses() {
      return counts.responses;
    },
    get rejections() {
      return counts.rejections;
    },
    get open() {
      return counts.open;
    },
    call(channelId: bigint) {
      counts.open += 1;
      const request = session.request({
        ':method': 'POST',
        ':path': `/${MessageService.typeName}/ListMessages`,
        'content-type': contentTypes[edge],
        te: 'trailers',
        authorization: `Bearer ${token}`,
      });
      request.on('response', (headers) => {
        counts.responses += 1;
        if (headers['grpc-status'] === '8') counts.rejections += 1;
      });
      request.on('error', () => {});
      request.on('close', () => {
        counts.open -= 1;
      });
      const message = toBinary(ListMessagesRequestSchema, create(ListMessagesRequestSchema, { channelId }));
      request.end(envelope(Buffer.from(message)));
    },
    [Symbol.dispose]: () => session.destroy(),
  };
}
