import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { createLogger } from '../src/telemetry/log.ts';
import { fromTraceParent } from '../src/telemetry/tracing.ts';
import { type App, type As, app } from './kit/app.ts';
import { Subscriber } from './kit/stream.ts';
import { until } from './kit/until.ts';

const ana: As = { userId: 1n, tenantId: 1n };
const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';

type Exported = {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly attributes: readonly { readonly key: string; readonly value: { readonly stringValue: string } }[];
};
type Body = {
  readonly resourceSpans: readonly {
    readonly scopeSpans: readonly { readonly spans: readonly Exported[] }[];
  }[];
};

describe('tracing', () => {
  let the: App;
  let collector: Server;
  const spans: Exported[] = [];
  const headers: (string | undefined)[] = [];
  const lines: string[] = [];

  before(async () => {
    collector = createServer(async (request, response) => {
      headers.push(request.headers.authorization);
      const body: Body = JSON.parse(await text(request));
      spans.push(
        ...body.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)),
      );
      response.end('{}');
    });
    collector.listen(0, '127.0.0.1');
    await once(collector, 'listening');
    const address = collector.address();
    assert.ok(address !== null && typeof address === 'object');
    the = await app({ EVENT_POLL_MS: '600000' });
    const settings = {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${address.port}`,
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer collector',
      OTEL_TRACES_PERCENT: '0',
    };
    const log = createLogger('info', { write: (line) => void lines.push(line) });
    await the.start(settings, log);
    await the.start(settings);
  });
  after(async () => {
    await the.close();
    collector.close();
  });

  it('continues the trace of a client from the call to SQL, and from the commit to another instance', async () => {
    const { channel } = await the.client(ChannelService, ana).createChannel({ name: 'Kho' });
    const channelId = channel?.id ?? 0n;
    const subscriber = await new Subscriber(the.client(EventService, ana, 'grpc', 2), [channelId]).connect();
    let requestId: string | null = null;
    const send = (flags: string, content: string) =>
      the.client(MessageService, ana, 'grpc', 1).sendMessage(
        { channelId, content },
        {
          headers: { traceparent: `00-${TRACE}-${PARENT}-${flags}` },
          onHeader: (response) => {
            requestId = response.get('x-request-id');
          },
        },
      );
    await send('00', 'not recorded');
    await send('01', 'recorded');
    const named = (name: string) => spans.filter((span) => span.name === name);
    await until(() => named('deliver').length > 0 && named('send batch').length > 0, 'the spans');
    await until(() => subscriber.events.length === 2, 'the events');
    await subscriber.disconnect();

    const [call, ...others] = named('serp.discuss.v1.MessageService/SendMessage');
    assert.deepEqual(others, []);
    assert.equal(call?.parentSpanId, PARENT);
    const attributes = call?.attributes.map(({ key, value }) => [key, value.stringValue]);
    assert.deepEqual(Object.fromEntries(attributes ?? [])['discuss.request_id'], requestId);
    const [batch] = named('send batch');
    assert.equal(batch?.parentSpanId, call?.spanId);
    assert.ok(named('PostgreSQL').every(({ parentSpanId }) => parentSpanId === call?.spanId));
    assert.deepEqual(
      named('deliver').map(({ parentSpanId }) => parentSpanId),
      [batch?.spanId],
    );
    assert.deepEqual([...new Set(spans.map(({ traceId }) => traceId))], [TRACE]);
    assert.deepEqual([...new Set(headers)], ['Bearer collector']);
    const logged = lines.filter((line) => line.includes(`"requestId":"${requestId}"`));
    assert.equal(logged.length, 1);
    assert.match(logged[0] ?? '', new RegExp(`"traceId":"${TRACE}"`));
  });

  it('ignores malformed headers', () => {
    for (const header of [
      undefined,
      '',
      `00-${'0'.repeat(32)}-${PARENT}-01`,
      `00-${TRACE}-${'0'.repeat(16)}-01`,
      `00-${TRACE}-${PARENT}`,
      `ff-${TRACE}-${PARENT}-01`,
    ])
      assert.equal(fromTraceParent(header), undefined);
    assert.equal(fromTraceParent(`00-${TRACE}-${PARENT}-03`)?.isRecorded, true);
  });
});
