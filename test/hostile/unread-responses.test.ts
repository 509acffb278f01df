import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { ListMessagesRequestSchema, MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { Sink } from '../../src/rpc/call.ts';
import { type App, type As, app } from '../kit/app.ts';
import { bearer, clientOf, failureOf, numberedFrame, openEdges, protocols } from '../kit/edge/edges.ts';
import { UnreadCalls } from '../kit/edge/unread-calls.ts';
import { until } from '../kit/until.ts';

const CALLS = 100;
const MESSAGES = 50;
const CONTENT_BYTES = 10_000;
const WAIT_MS = 60_000;
const UNLIMITED = { LIMIT_READ_PER_MINUTE: '0', LIMIT_TENANT_PER_MINUTE: '0' };
const ana: As = { userId: 1n, tenantId: 1n };
const bo: As = { userId: 2n, tenantId: 1n };

const kinds = [
  { name: 'gRPC', edge: 'grpc', other: 'web', contentType: 'application/grpc' },
  { name: 'Connect', edge: 'web', other: 'grpc', contentType: 'application/proto' },
  { name: 'gRPC-Web', edge: 'web', other: 'grpc', contentType: 'application/grpc-web+proto' },
] as const;

describe('responses that a client does not read', () => {
  let the: App;
  let channelId: bigint;

  before(async () => {
    the = await app({ PENDING_RESPONSE_BYTES: '4000000', PENDING_RESPONSE_TIMEOUT_MS: '3600000' });
    await the.start({ PENDING_RESPONSE_TIMEOUT_MS: '200' });
    const { channel } = await the
      .client(ChannelService, ana)
      .createChannel({ name: 'Kho', memberUserIds: [bo.userId] });
    channelId = channel?.id ?? 0n;
    for (let index = 0; index < MESSAGES; index += 1)
      await the.client(MessageService, ana).sendMessage({ channelId, content: 'x'.repeat(CONTENT_BYTES) });
  });
  after(() => the.close());

  for (const { name, edge, other, contentType } of kinds) {
    const list = (as: As, on: typeof edge | typeof other, instance = 0) =>
      the.client(MessageService, as, on, instance).listMessages({ channelId });
    const openUnread = async (instance: number) => {
      const { grpcAddress = '', webAddress = '' } = the.instances[instance] ?? {};
      const calls = new UnreadCalls(edge === 'grpc' ? grpcAddress : webAddress, await the.tokens.sign(ana));
      const request = create(ListMessagesRequestSchema, { channelId });
      const send = () =>
        calls.call(
          `/${MessageService.typeName}/ListMessages`,
          contentType,
          toBinary(ListMessagesRequestSchema, request),
        );
      return { calls, send };
    };

    it(`are bounded in bytes over all calls of a user, and cost other users nothing: ${name}`, async () => {
      const { calls, send } = await openUnread(0);
      for (let call = 0; call < CALLS; call += 1) send();
      await until(() => calls.responses === CALLS, 'all responses', WAIT_MS);
      await assert.rejects(list(ana, edge), /are not read/);
      // The other edge shares the count.
      await assert.rejects(list(ana, other), /are not read/);
      assert.ok((await list(bo, edge)).messages.length > 0);
      // Unary responses of gRPC-Web have their status in the body, which is not read.
      if (name !== 'gRPC-Web') assert.ok(calls.rejections >= CALLS / 2, `${calls.rejections} rejected`);
      calls[Symbol.dispose]();
      await until(async () => (await list(ana, edge).catch(() => undefined)) !== undefined);
    });

    it(`are cut off after a time: ${name}`, async () => {
      const { calls, send } = await openUnread(1);
      for (let call = 0; call < 5; call += 1) send();
      await until(() => calls.open === 0, 'the end of all calls', WAIT_MS);
      assert.deepEqual([calls.responses, calls.cutOff], [5, 5]);
      // On a slow machine, the limit can pass before this client reads.
      const read = () => list(ana, edge, 1).catch(() => undefined);
      await until(async () => ((await read())?.messages.length ?? 0) > 0, 'a response that is read', WAIT_MS);
      calls[Symbol.dispose]();
    });
  }
});

describe('what a client has not read of a stream when it ends', () => {
  const stream = {
    stream: async (_request: unknown, _call: unknown, sink: Sink) => sink.write(numberedFrame(1n, 50_000)),
  };

  for (const { name, edge, contentType } of kinds) {
    const type = contentType === 'application/proto' ? 'application/connect+proto' : contentType;

    it(`counts as unread until its connection closes: ${name}`, async () => {
      await using edges = await openEdges(stream, {
        PENDING_RESPONSE_BYTES: '40000',
        LIMIT_READ_PER_MINUTE: '0',
      });
      const client = clientOf(protocols[0].open(edges));
      const read = () => client.read({ channelId: 1n, messageId: 1n }, bearer(edges.token));
      const calls = new UnreadCalls(edges[edge].address, edges.token);
      calls.call('/test.EchoService/Stream', type, Buffer.alloc(0));
      await until(async () => (await read().catch(() => undefined)) === undefined, 'a rejected call');
      assert.equal((await failureOf(read())).reason, 'OVERLOADED');
      calls[Symbol.dispose]();
      await until(async () => (await read().catch(() => undefined)) !== undefined, 'an accepted call');
    });

    it(`lets its user have one read at a time, and others several: ${name}`, async () => {
      let [running, most] = [0, 0];
      const read = async () => {
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setImmediate(resolve));
        running -= 1;
        return {};
      };
      const write = (_request: unknown, _call: unknown, sink: Sink) => sink.write(numberedFrame(1n, 300_000));
      const handlers = {
        read,
        stream: async (...parameters: Parameters<typeof write>) => void write(...parameters),
      };
      await using edges = await openEdges(handlers, UNLIMITED);
      const client = clientOf(protocols[0].open(edges));
      const mostAtOnce = async (token: string) => {
        most = 0;
        const calls = Array.from({ length: 8 }, () =>
          client.read({ channelId: 1n, messageId: 1n }, bearer(token)),
        );
        await Promise.all(calls);
        return most;
      };
      const calls = new UnreadCalls(edges[edge].address, edges.token);
      calls.call('/test.EchoService/Stream', type, Buffer.alloc(0));
      await until(async () => (await mostAtOnce(edges.token)) === 1, 'one read at a time');
      assert.ok((await mostAtOnce(await edges.signer.sign({ userId: 8n, tenantId: 3n }))) > 1);
      assert.equal(await mostAtOnce(edges.token), 1);
      calls[Symbol.dispose]();
      await until(async () => (await mostAtOnce(edges.token)) > 1, 'several reads at a time');
    });

    it(`delays no read of its user any more when it is read: ${name}`, async () => {
      let running = 0;
      let blocked = Promise.withResolvers<void>();
      blocked.resolve();
      const read = async () => {
        running += 1;
        await blocked.promise;
        running -= 1;
        return {};
      };
      const large = async (_request: unknown, _call: unknown, sink: Sink) =>
        sink.write(numberedFrame(1n, 300_000));
      await using edges = await openEdges({ read, stream: large }, UNLIMITED);
      const client = clientOf(protocols[0].open(edges));
      const readAtOnce = () =>
        Array.from({ length: 3 }, () => client.read({ channelId: 1n, messageId: 1n }, bearer(edges.token)));
      const calls = new UnreadCalls(edges[edge].address, edges.token);
      calls.call('/test.EchoService/Stream', type, Buffer.alloc(0));
      await until(() => calls.responses === 1, 'the response of the stream');
      blocked = Promise.withResolvers();
      const reads = readAtOnce();
      await until(() => running > 0);
      calls[Symbol.dispose]();
      await until(() => running === 3, 'three reads at a time');
      blocked.resolve();
      await Promise.all(reads);
    });

    it(`is cut off after a time: ${name}`, async () => {
      await using edges = await openEdges(stream, { PENDING_RESPONSE_TIMEOUT_MS: '50' });
      using calls = new UnreadCalls(edges[edge].address, edges.token);
      calls.call('/test.EchoService/Stream', type, Buffer.alloc(0));
      await until(() => calls.open === 0, 'the end of the stream');
      assert.deepEqual([calls.responses, calls.cutOff], [1, 1]);
    });
  }
});
