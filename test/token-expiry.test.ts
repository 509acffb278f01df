import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code, type ConnectError } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from './kit/app.ts';
import { assertError } from './kit/rejects.ts';
import { Subscriber } from './kit/stream.ts';
import { TenantStreamReader } from './kit/tenant-stream-reader.ts';
import { until } from './kit/until.ts';

const SECONDS = 3;

const ana: As = { userId: 1n, tenantId: 1n };
const crm: As = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };

describe('streams and the expiry of their token', () => {
  let the: App;
  let channelId: bigint;

  before(async () => {
    the = await app({ AUTH_CLOCK_TOLERANCE_MS: '0' });
    const { channel } = await the.client(ChannelService, ana).createChannel({ name: 'Kho' });
    channelId = channel?.id ?? 0n;
  });
  after(() => the.close());

  const send = (content: string) => the.client(MessageService, ana).sendMessage({ channelId, content });
  const client = (as: As, edge: 'grpc' | 'web') => the.client(EventService, as, edge);

  for (const edge of ['grpc', 'web'] as const) {
    it(`ends Subscribe with TOKEN_EXPIRED and resumes with a new token, ${edge}`, async () => {
      const start = Date.now();
      const subscriber = await new Subscriber(client({ ...ana, expiresIn: SECONDS }, edge)).connect();
      await send('trước');
      await until(() => subscriber.messages(channelId).length === 1);
      await until(() => subscriber.error !== undefined, 'the end of the stream', 10_000);
      assertEnd(start, subscriber.error);
      await send('giữa');
      await subscriber.connect(client(ana, edge));
      await send('sau');
      await until(() => subscriber.messages(channelId).length === 3);
      assert.deepEqual(subscriber.messages(channelId), ['trước', 'giữa', 'sau']);
      assert.deepEqual(subscriber.faults, []);
      await subscriber.disconnect();
    });

    it(`ends StreamTenantEvents with TOKEN_EXPIRED and resumes with a new token, ${edge}`, async () => {
      const start = Date.now();
      const reader = await new TenantStreamReader().connect(client({ ...crm, expiresIn: SECONDS }, edge));
      // May arrive after the resume: tenant streams wait for open transactions of all databases of the server, as of other tests.
      await send('trước');
      await until(() => reader.error !== undefined, 'the end of the stream', 10_000);
      assertEnd(start, reader.error);
      await send('giữa');
      await reader.connect(client(crm, edge));
      await send('sau');
      await until(() => reader.texts.at(-1) === 'sau');
      assert.deepEqual(reader.texts.slice(-3), ['trước', 'giữa', 'sau']);
      await reader.disconnect();
    });
  }
});

function assertEnd(start: number, error: ConnectError | undefined): void {
  const ms = Date.now() - start;
  // Expiry is in whole seconds, the check once per second, and the machine may be slow.
  assert.ok(ms > (SECONDS - 1) * 1000 && ms < (SECONDS + 4) * 1000, `ended after ${ms} ms`);
  assertError(error, Code.Unauthenticated, 'TOKEN_EXPIRED');
}
