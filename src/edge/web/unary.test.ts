import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { after, before, suite, test } from 'node:test';
import { brotliDecompressSync, gunzipSync, gzipSync } from 'node:zlib';
import { create, fromBinary, toBinary, toJsonString } from '@bufbuild/protobuf';
import {
  GetMessageRequestSchema,
  SendMessageRequestSchema,
  SendMessageResponseSchema,
} from '#gen/serp/discuss/v1/message_service_pb.ts';
import { bearer, openEdges, type TestEdges } from '../../../test/kit/edge/edges.ts';
import { envelope } from '../../rpc/frame.ts';

const REQUEST_ID = '00000000-0000-4000-8000-000000000000';
const long = 'tin nhắn '.repeat(200);
const read = create(GetMessageRequestSchema, { channelId: 1n, messageId: 2n });

let edges: TestEdges;
suite('unary calls on the web edge', () => {
  before(async () => {
    edges = await openEdges();
  });
  after(() => edges[Symbol.asyncDispose]());

  function encoded(content: string): Uint8Array {
    return toBinary(
      SendMessageRequestSchema,
      create(SendMessageRequestSchema, { channelId: 1n, content, requestId: REQUEST_ID }),
    );
  }

  function post(headers: Record<string, string>, body: Uint8Array | string, method = 'Write') {
    return fetch(`http://${edges.web.address}/test.EchoService/${method}`, {
      method: 'POST',
      headers: { ...bearer(edges.token).headers, ...headers },
      body: Buffer.from(body),
    });
  }

  function get(query: Record<string, string>, method = 'Read') {
    const url = `http://${edges.web.address}/test.EchoService/${method}?${new URLSearchParams(query)}`;
    return fetch(url, bearer(edges.token));
  }

  function contentOf(bytes: Uint8Array): string | undefined {
    return fromBinary(SendMessageResponseSchema, bytes).message?.content;
  }

  async function bytesOf(response: Response): Promise<Buffer> {
    return Buffer.from(await response.arrayBuffer());
  }

  /** The envelopes of a gRPC-Web response. */
  function envelopesOf(body: Buffer): { flags: number; bytes: Buffer }[] {
    const envelopes = [];
    for (let at = 0; at < body.length; ) {
      const end = at + 5 + body.readUInt32BE(at + 1);
      envelopes.push({ flags: body.readUInt8(at), bytes: body.subarray(at + 5, end) });
      at = end;
    }
    return envelopes;
  }

  suite('Connect', () => {
    test('a response has its length, and is compressed as the client accepts it', async () => {
      const headers = { 'content-type': 'application/proto' };
      const short = await post({ ...headers, 'accept-encoding': 'gzip' }, encoded('hello'));
      assert.equal(short.headers.get('content-encoding'), null);
      const body = await bytesOf(short);
      assert.equal(short.headers.get('content-length'), `${body.length}`);
      assert.equal(contentOf(body), 'hello');
      for (const accepted of ['gzip, br', 'br', 'identity']) {
        const response = await post({ ...headers, 'accept-encoding': accepted }, encoded(long));
        const name = accepted === 'identity' ? null : accepted.split(',')[0];
        assert.equal(response.headers.get('content-encoding'), name);
        assert.equal(contentOf(await bytesOf(response)), long);
      }
    });

    test('a compressed request is read; one of an unknown compression is UNIMPLEMENTED', async () => {
      const headers = { 'content-type': 'application/proto', 'accept-encoding': 'identity' };
      const response = await post({ ...headers, 'content-encoding': 'gzip' }, gzipSync(encoded(long)));
      assert.equal(contentOf(await bytesOf(response)), long);
      const unknown = await post({ ...headers, 'content-encoding': 'zstd' }, encoded('x'));
      assert.equal(unknown.status, 501);
      assert.match(await unknown.text(), /unimplemented.*supported encodings are gzip,br/);
      const damaged = await post({ ...headers, 'content-encoding': 'gzip' }, encoded('x'));
      assert.match(await damaged.text(), /invalid_argument.*FIELD_INVALID/);
    });

    test('an RPC without side effects may be called with GET, in each codec and compressed', async () => {
      const binary = Buffer.from(toBinary(GetMessageRequestSchema, read));
      for (const query of [
        { encoding: 'json', message: toJsonString(GetMessageRequestSchema, read) },
        { encoding: 'proto', base64: '1', message: binary.toString('base64url') },
        {
          encoding: 'proto',
          base64: '1',
          compression: 'gzip',
          message: gzipSync(binary).toString('base64url'),
          connect: 'v1',
        },
      ]) {
        const response = await get(query);
        assert.equal(response.status, 200, await response.clone().text());
        assert.equal(response.headers.get('content-type'), `application/${query.encoding}`);
      }
      assert.equal((await get({ encoding: 'json', message: '{}' }, 'Write')).status, 405);
      assert.equal((await get({ encoding: 'xml', message: '' })).status, 415);
      const invalid = await get({ encoding: 'proto', base64: '1', message: '%%%' });
      assert.match(await invalid.text(), /FIELD_INVALID/);
    });

    test('a request that cannot be decoded is INVALID_ARGUMENT, and logged', async () => {
      for (const [contentType, body] of [
        ['application/proto', Buffer.from([0x0a, 0xff])],
        ['application/json', '{'],
      ] as const) {
        const response = await post({ 'content-type': contentType }, body);
        assert.equal(response.status, 400);
        assert.equal(response.headers.get('content-type'), 'application/json');
        assert.match(await response.text(), /invalid_argument.*FIELD_INVALID/);
        assert.equal(edges.log.filter(({ msg }) => msg === 'rpc').at(-1)?.['reason'], 'FIELD_INVALID');
      }
    });

    test('a header of a timeout that is none is named', async () => {
      const headers = { 'content-type': 'application/proto', 'connect-timeout-ms': 'soon' };
      const response = await post(headers, encoded('x'));
      assert.match(await response.text(), /invalid_argument.*connect-timeout-ms/);
    });

    test('other methods and content types are rejected', async () => {
      const put = await fetch(`http://${edges.web.address}/test.EchoService/Write`, { method: 'PUT' });
      assert.equal(put.status, 405);
      for (const type of ['text/plain', 'application/connect+proto', 'application/grpc-web-text'])
        assert.equal((await post({ 'content-type': type }, encoded('x'))).status, 415, type);
    });
  });

  suite('gRPC-Web and gRPC', () => {
    const headers = { 'content-type': 'application/grpc-web+proto' };

    test('a message is compressed as the client accepts it, and its trailers follow', async () => {
      for (const [name, decompress] of [
        ['gzip', gunzipSync],
        ['br', brotliDecompressSync],
      ] as const) {
        const body = envelope(gzipSync(encoded(long)), 1);
        const response = await post(
          { ...headers, 'grpc-encoding': 'gzip', 'grpc-accept-encoding': name },
          body,
        );
        assert.equal(response.headers.get('grpc-encoding'), name);
        const [message, trailers] = envelopesOf(await bytesOf(response));
        assert.equal(message?.flags, 1);
        assert.equal(contentOf(decompress(message?.bytes ?? '')), long);
        assert.deepEqual([trailers?.flags, `${trailers?.bytes}`], [0x80, 'grpc-status: 0\r\n']);
      }
    });

    test('a body that is not one envelope, or of an unknown compression, is an error', async () => {
      const one = envelope(encoded('x'));
      for (const body of [Buffer.alloc(3), one.subarray(0, 9)])
        assert.match(await (await post(headers, body)).text(), /grpc-status: 3/);
      for (const body of [Buffer.alloc(0), Buffer.concat([one, one])])
        assert.match(await (await post(headers, body)).text(), /grpc-status: 12/);
      const unknown = await post({ ...headers, 'grpc-encoding': 'zstd' }, envelope(encoded('x'), 1));
      assert.match(await unknown.text(), /grpc-status: 12/);
    });

    test('a gRPC response ends with trailers', async () => {
      const session = http2.connect(`http://${edges.web.address}`);
      const request = session.request({
        ':method': 'POST',
        ':path': '/test.EchoService/Write',
        'content-type': 'application/grpc',
        te: 'trailers',
        ...bearer(edges.token).headers,
      });
      request.end(envelope(encoded('hello')));
      let status: unknown;
      request.on('trailers', (trailers) => {
        status = trailers['grpc-status'];
      });
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      session.close();
      assert.equal(contentOf(Buffer.concat(chunks).subarray(5)), 'hello');
      assert.equal(status, '0');
    });
  });
});
