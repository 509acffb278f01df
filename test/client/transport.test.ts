import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { after, before, describe, it } from 'node:test';
import type { ApiError } from '../../client/src/api-error.ts';
import { fetchTransport } from '../../client/src/fetch-transport.ts';
import { type App, type As, app } from '../kit/app.ts';
import { jsonTransport } from '../kit/json-transport.ts';

const user: As = { userId: 1n, tenantId: 1n };
const COMPRESSED = 1;
const END_OF_STREAM = 2;
const MAX_BYTES = 4_194_304;
const heartbeat = { heartbeat: {} };

describe('the transport of the client, to the service', () => {
  let the: App;
  before(async () => {
    // The channel and one message.
    the = await app({ LIMIT_SEND_PER_MINUTE: '2' });
  });
  after(() => the.close());

  it('reads messages, and errors with their details, of unary calls and streams', async () => {
    const transport = jsonTransport(the, user);
    const request = { name: 'Kho', requestId: crypto.randomUUID() };
    const { channel } = await transport.unary('ChannelService/CreateChannel', request);
    const channelId = channel?.id ?? '';
    const send = () =>
      transport.unary('MessageService/SendMessage', {
        channelId,
        content: 'Chào',
        requestId: crypto.randomUUID(),
      });
    await assert.rejects(
      transport.unary('ChannelService/GetChannel', { channelId: '9007199254740993' }, vietnamese),
      (error: ApiError) => {
        assert.deepEqual([error.code, error.reason], ['not_found', 'CHANNEL_NOT_FOUND']);
        assert.deepEqual(error.details.metadata, { channel_id: '9007199254740993' });
        assert.match(error.details.localizedMessage ?? '', /^Kênh/);
        return true;
      },
    );
    await send();
    await assert.rejects(send(), (error: ApiError) => {
      assert.deepEqual([error.code, error.reason], ['resource_exhausted', 'RATE_LIMITED']);
      assert.ok((error.details.retryDelayMs ?? 0) > 0);
      assert.equal(error.details.retryDelayMs, Number(error.details.metadata?.['retry_delay_ms']));
      return true;
    });
    for await (const { started } of transport.stream('EventService/Subscribe', {})) {
      assert.deepEqual(
        started?.channels?.map((state) => state.channelId),
        [channelId],
      );
      break;
    }
    const denied = transport.stream('EventService/Subscribe', { channelIds: ['1234567'] });
    await assert.rejects(collect(denied), { code: 'not_found', reason: 'CHANNEL_NOT_FOUND' });
  });
});

describe('the transport of the client', () => {
  let server: Server;
  let respond: (request: IncomingMessage, response: ServerResponse) => void;
  let baseUrl: string;

  before(async () => {
    server = createServer((request, response) => respond(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    baseUrl = `http://127.0.0.1:${address.port}`;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });

  const unary = (options = {}) =>
    fetchTransport({ baseUrl }).unary('ServerService/GetServerInfo', {}, options);
  const stream = (options = {}) => fetchTransport({ baseUrl }).stream('EventService/Subscribe', {}, options);

  it('reports responses that are not of the service by their status', async () => {
    for (const [status, code] of [
      [502, 'unavailable'],
      [429, 'unavailable'],
      [404, 'unimplemented'],
      [500, 'unknown'],
      [200, 'unknown'],
    ] as const) {
      respond = (_, response) => response.writeHead(status, { 'content-type': 'text/html' }).end('<p>');
      await assert.rejects(unary(), { code, message: `HTTP ${status}` });
      await assert.rejects(collect(stream()), { code });
    }
    respond = (_, response) => response.destroy();
    await assert.rejects(unary(), { code: 'unavailable' });
  });

  it('reads envelopes that arrive in parts, until the end', async () => {
    respond = async (_, response) => {
      response.writeHead(200, { 'content-type': 'application/connect+json' });
      const bytes = Buffer.concat([envelope(heartbeat), envelope({ newer: 1 }), envelope({}, END_OF_STREAM)]);
      for (const byte of bytes)
        await new Promise<void>((done) => response.write(Buffer.of(byte), () => done()));
      response.end();
    };
    assert.deepEqual(await collect(stream()), [heartbeat, { newer: 1 }]);
  });

  it('rejects a stream that is cut off, compressed, too large or not JSON', async () => {
    const large = Buffer.alloc(5);
    large.writeUInt32BE(MAX_BYTES + 1, 1);
    for (const [bytes, code] of [
      [envelope(heartbeat).subarray(0, 8), 'unavailable'],
      [Buffer.alloc(0), 'unavailable'],
      [envelope(heartbeat, COMPRESSED), 'internal'],
      [large, 'resource_exhausted'],
      [Buffer.from('\0\0\0\0\u0001{'), 'internal'],
      [envelope({ error: { code: 'unavailable', message: 'draining' } }, END_OF_STREAM), 'unavailable'],
    ] as const) {
      respond = (_, response) =>
        response.writeHead(200, { 'content-type': 'application/connect+json' }).end(bytes);
      await assert.rejects(collect(stream()), { code });
    }
    const body = `"${'a'.repeat(MAX_BYTES)}"`;
    respond = (_, response) => response.writeHead(200, { 'content-type': 'application/json' }).end(body);
    await assert.rejects(unary(), { code: 'resource_exhausted' });
  });

  it('ends calls at their deadline and when they are cancelled, and the request of a stream that is left', async () => {
    const deadlines: unknown[] = [];
    respond = ({ headers }, response) => {
      deadlines.push(headers['connect-timeout-ms']);
      response.writeHead(503).end();
    };
    await assert.rejects(unary({ timeoutMs: 60_000 }), { code: 'unavailable' });
    await assert.rejects(collect(stream({ timeoutMs: 60_000 })), { code: 'unavailable' });
    assert.deepEqual(deadlines, ['60000', '60000']);
    respond = () => {};
    await assert.rejects(unary({ timeoutMs: 50 }), { code: 'deadline_exceeded' });
    await assert.rejects(collect(stream({ timeoutMs: 50 })), { code: 'deadline_exceeded' });
    await assert.rejects(unary({ signal: AbortSignal.abort() }), { code: 'canceled' });
    const closed = Promise.withResolvers<void>();
    respond = (_, response) => {
      response.writeHead(200, { 'content-type': 'application/connect+json' }).write(envelope(heartbeat));
      response.on('close', () => closed.resolve());
    };
    for await (const message of stream()) {
      assert.deepEqual(message, heartbeat);
      break;
    }
    await closed.promise;
  });
});

const vietnamese = { headers: { 'accept-language': 'vi' } };

function envelope(message: object, flags = 0): Buffer {
  const json = Buffer.from(JSON.stringify(message));
  const prefix = Buffer.alloc(5);
  prefix[0] = flags;
  prefix.writeUInt32BE(json.length, 1);
  return Buffer.concat([prefix, json]);
}

async function collect<T>(messages: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const message of messages) all.push(message);
  return all;
}
