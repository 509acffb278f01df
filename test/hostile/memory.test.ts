import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2, { type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { type Client, createClient, type Interceptor } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService, SubscribeRequestSchema } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { ListMessagesRequestSchema, MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { envelope } from '../../src/rpc/frame.ts';
import { Target } from '../fuzz/target.ts';
import type { As, Edge } from '../kit/app.ts';
import { UnreadCalls } from '../kit/edge/unread-calls.ts';
import { until } from '../kit/until.ts';

// Limits of users are the defaults, but for the time after which a slow machine would cut off unread responses.
const SETTINGS = { LIMIT_SEND_PER_MINUTE: '0', PENDING_RESPONSE_TIMEOUT_MS: '3600000' };
const WAIT_MS = 90_000;

const USERS = 10;
const STREAMS_PER_USER = 6;
const CURSORS = 1_000;
const UNKNOWN_FIELD = 1_000;
const UNKNOWN_BYTES = 390_000;
// The requests of the streams are 24 MB. A stream itself takes some 70 KB.
const MAX_STREAM_BYTES = 16_000_000;

// More than a page of 1 MB, the maximum.
const MESSAGES = 80;
const CONTENT = '😀'.repeat(10_000);
const READS = 120;
// PENDING_RESPONSE_BYTES is 8 MB, and each response waits twice.
const MAX_UNREAD_BYTES = 30_000_000;
const MAX_KEPT_BYTES = 20_000_000;

const READS_AT_ONCE = 24;
// Four at a time with what is read for them, besides the responses that the client has not read yet.
const MAX_READ_BYTES = MAX_UNREAD_BYTES + 100_000_000;

const BOMBS = 100;
const BOMB = gzipSync(Buffer.alloc(67_108_864));
// Of 200 KiB each, the maximum of SendMessage; with 4 MiB each it was 420 MB.
const MAX_BOMB_BYTES = 150_000_000;

const grpc = 'application/grpc';
const kinds = [
  { name: 'gRPC', edge: 'grpc', unary: grpc, stream: grpc },
  { name: 'Connect', edge: 'web', unary: 'application/proto', stream: 'application/connect+proto' },
] as const;

describe('memory of an instance', () => {
  let target: Target;
  let channelId: bigint;

  before(async () => {
    target = await Target.open(SETTINGS);
    const memberUserIds = Array.from({ length: USERS - 1 }, (_, index) => BigInt(index) + 2n);
    const client = target.client(ChannelService, user(1));
    const { channel } = await client.createChannel({ name: 'Kho', memberUserIds });
    channelId = channel?.id ?? 0n;
    const messages = target.client(MessageService, user(1));
    for (let sent = 0; sent < MESSAGES; sent += 1)
      await messages.sendMessage({ channelId, content: CONTENT });
  });
  after(() => target[Symbol.asyncDispose]());

  // First, because the maximum of resident memory includes what other tests used.
  for (const { name, edge } of kinds)
    it(`is bounded while ${BOMBS} bodies are decompressed: ${name}`, async () => {
      const session = connect(target.addresses[edge]);
      const token = await target.token(user(1));
      const { peak } = await target.instance.memory();
      const calls = Array.from({ length: BOMBS }, async () => {
        const call = post(session, `${MessageService.typeName}/SendMessage`, grpc, token);
        call.end(envelope(BOMB, 1));
        return statusOf(call);
      });
      assert.deepEqual(new Set(await Promise.all(calls)), new Set(['8']));
      const { peak: after } = await target.instance.memory();
      assert.ok(after - peak < MAX_BOMB_BYTES, `${after - peak} bytes`);
      session.destroy();
    });

  for (const { name, edge, unary, stream } of kinds) {
    it(`does not contain the requests of open streams: ${name}`, async () => {
      const request = largeSubscribe(channelId);
      const session = connect(target.addresses[edge]);
      const open = async (as: As) => {
        const call = post(session, `${EventService.typeName}/Subscribe`, stream, await target.token(as));
        call.end(envelope(request));
        await once(call, 'data');
      };
      await open(user(1));
      const { live } = await target.instance.memory();
      for (let count = 0; count < STREAMS_PER_USER; count += 1)
        await Promise.all(Array.from({ length: USERS }, (_, index) => open(user(index + 1))));
      await target.memoryReturns(live, MAX_STREAM_BYTES);
      session.destroy();
    });

    it(`is bounded while a user reads ${READS_AT_ONCE} pages of 1 MB, which take turns, and others are served: ${name}`, async () => {
      const reader = user(edge === 'grpc' ? 4 : 5);
      const client = await readerOf(target, edge, reader);
      const other = target.client(ChannelService, { userId: 1n, tenantId: 2n });
      await other.listChannels({});
      const { live } = await target.instance.memory();
      const reads = Array.from({ length: READS_AT_ONCE }, () =>
        // The client reads as fast as it can, and the instance may be faster.
        client
          .listMessages({ channelId, pageSize: MESSAGES }, { timeoutMs: WAIT_MS })
          .catch((error) => assert.match(String(error), /are not read/)),
      );
      const waiting = async () => (await target.instance.metrics()).get('discuss_calls_waiting') ?? 0;
      await until(async () => (await waiting()) > 0, 'reads that wait');
      for (let call = 0; call < 5; call += 1) await other.listChannels({});
      const during = await target.instance.memory();
      assert.ok(during.live - live < MAX_READ_BYTES, `${during.live - live} bytes`);
      await Promise.all(reads);
      await target.memoryReturns(live, MAX_KEPT_BYTES);
    });

    it(`is bounded while a user does not read ${READS} pages of 1 MB, and returns: ${name}`, async () => {
      const reader = user(edge === 'grpc' ? 2 : 3);
      const request = toBinary(
        ListMessagesRequestSchema,
        create(ListMessagesRequestSchema, { channelId, pageSize: MESSAGES }),
      );
      await target.client(MessageService, reader).listMessages({ channelId });
      const { live } = await target.instance.memory();
      const calls = new UnreadCalls(target.addresses[edge], await target.token(reader));
      for (let sent = 0; sent < READS; sent += 1)
        calls.call(`/${MessageService.typeName}/ListMessages`, unary, request);
      await until(() => calls.responses === READS, 'a response to each call', WAIT_MS);
      await target.memoryReturns(live, MAX_UNREAD_BYTES);
      assert.ok(calls.rejections > 0);
      calls[Symbol.dispose]();
      await target.memoryReturns(live, MAX_KEPT_BYTES);
    });
  }
});

async function readerOf(target: Target, edge: Edge, as: As): Promise<Client<typeof MessageService>> {
  const token = await target.token(as);
  const authorize: Interceptor = (next) => (request) => {
    request.header.set('authorization', `Bearer ${token}`);
    return next(request);
  };
  const options = { baseUrl: `http://${target.addresses[edge]}`, interceptors: [authorize] };
  const transport =
    edge === 'grpc' ? createGrpcTransport(options) : createConnectTransport({ ...options, httpVersion: '2' });
  return createClient(MessageService, transport);
}

function user(userId: number): As {
  return { userId: BigInt(userId), tenantId: 1n };
}

function connect(address: string): ClientHttp2Session {
  return http2.connect(`http://${address}`).on('error', () => {});
}

function post(
  session: ClientHttp2Session,
  path: string,
  contentType: string,
  token: string,
): ClientHttp2Stream {
  return session.request({
    ':method': 'POST',
    ':path': `/${path}`,
    'content-type': contentType,
    'grpc-encoding': 'gzip',
    te: 'trailers',
    authorization: `Bearer ${token}`,
  });
}

/** The gRPC status of a call. */
async function statusOf(call: ClientHttp2Stream): Promise<unknown> {
  let status: unknown;
  for (const event of ['response', 'trailers'])
    call.on(event, (headers) => {
      status ??= headers['grpc-status'];
    });
  call.resume();
  await once(call, 'close');
  return status;
}

/** A request with many cursors, all of one channel, and with a large unknown field. */
function largeSubscribe(channelId: bigint): Buffer {
  const cursors = Array<{ channelId: bigint; seq: bigint }>(CURSORS).fill({ channelId, seq: 1n });
  const unknown = new BinaryWriter().tag(UNKNOWN_FIELD, WireType.LengthDelimited);
  return Buffer.concat([
    toBinary(SubscribeRequestSchema, create(SubscribeRequestSchema, { cursors })),
    unknown.bytes(Buffer.alloc(UNKNOWN_BYTES)).finish(),
  ]);
}
