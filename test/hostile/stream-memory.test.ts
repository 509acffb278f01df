import { once } from 'node:events';
import http2 from 'node:http2';
import { after, before, describe, it } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService, SubscribeRequestSchema } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { envelope } from '../../src/rpc/frame.ts';
import { NO_LIMITS, Target } from '../fuzz/target.ts';
import type { As } from '../kit/app.ts';

const STREAMS = 50;
const CURSORS = 5_000;
const UNKNOWN_FIELD = 1_000;
const UNKNOWN_BYTES = 250_000;
// The requests of the streams are 14 MB, and several times as much when decoded. A stream itself takes some 70 KB.
const MAX_GROWTH = 6_000_000;
const ana: As = { userId: 1n, tenantId: 1n };

describe('an open stream', () => {
  let target: Target;
  let request: Buffer;

  before(async () => {
    target = await Target.open({ ...NO_LIMITS, LIMIT_STREAMS_PER_USER: '0' });
    const { channel } = await target.client(ChannelService, ana).createChannel({ name: 'Kho' });
    const cursor = { channelId: channel?.id ?? 0n, seq: 1n };
    const message = create(SubscribeRequestSchema, { cursors: Array(CURSORS).fill(cursor) });
    const unknown = new BinaryWriter().tag(UNKNOWN_FIELD, WireType.LengthDelimited);
    request = Buffer.concat([
      toBinary(SubscribeRequestSchema, message),
      unknown.bytes(Buffer.alloc(UNKNOWN_BYTES)).finish(),
    ]);
  });
  after(() => target[Symbol.asyncDispose]());

  for (const { name, edge, contentType } of [
    { name: 'gRPC', edge: 'grpc', contentType: 'application/grpc' },
    { name: 'Connect', edge: 'web', contentType: 'application/connect+proto' },
  ] as const)
    it(`does not keep its request: ${name}`, async () => {
      const session = http2.connect(`http://${target.addresses[edge]}`);
      const open = async () => {
        const stream = session.request({
          ':method': 'POST',
          ':path': `/${EventService.typeName}/Subscribe`,
          'content-type': contentType,
          te: 'trailers',
          authorization: `Bearer ${await target.token(ana)}`,
        });
        stream.end(envelope(request));
        await once(stream, 'data');
      };
      await open();
      const { live } = await target.instance.memory();
      for (let count = 0; count < STREAMS; count += 1) await open();
      await target.memoryReturns(live, MAX_GROWTH);
      session.destroy();
    });
});
