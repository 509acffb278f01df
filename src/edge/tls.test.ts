import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { after, before, suite, test } from 'node:test';
import tls from 'node:tls';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { TestAuthority } from '../../test/kit/edge/certificates.ts';
import {
  bearer,
  clientOf,
  numberedFrame,
  numberOf,
  openEdges,
  type TestEdges,
  testEnv,
} from '../../test/kit/edge/edges.ts';
import { until } from '../../test/kit/until.ts';
import { toConfig } from '../config.ts';

let authority: TestAuthority;
let env: Record<string, string>;

suite('TLS', () => {
  before(async () => {
    authority = await TestAuthority.create();
    const { cert, key } = await authority.issue('server');
    const [certFile, keyFile] = [authority.write('server.crt', cert), authority.write('server.key', key)];
    env = { WEB_TLS_CERT: certFile, WEB_TLS_KEY: keyFile, GRPC_TLS_CERT: certFile, GRPC_TLS_KEY: keyFile };
  });

  after(() => authority[Symbol.dispose]());

  suite('calls and streams over TLS', () => {
    for (const [name, transportOf] of [
      [
        'Connect over HTTP/1.1',
        ({ web }: TestEdges) =>
          createConnectTransport({
            baseUrl: `https://${web.address}`,
            httpVersion: '1.1',
            nodeOptions: { ca: authority.cert },
          }),
      ],
      [
        'Connect over HTTP/2',
        ({ web }: TestEdges) =>
          createConnectTransport({
            baseUrl: `https://${web.address}`,
            httpVersion: '2',
            nodeOptions: { ca: authority.cert },
          }),
      ],
      [
        'gRPC on the mesh edge',
        ({ grpc }: TestEdges) =>
          createGrpcTransport({ baseUrl: `https://${grpc.address}`, nodeOptions: { ca: authority.cert } }),
      ],
    ] as const)
      test(name, async () => {
        let ended = 0;
        await using edges = await openEdges(
          {
            async stream(_request, { signal }, sink) {
              sink.write(numberedFrame(1n, 500_000));
              await new Promise((resolve) => signal.addEventListener('abort', resolve));
              ended += 1;
            },
          },
          env,
        );
        const client = clientOf(transportOf(edges));
        const content = 'x'.repeat(30_000);
        const { message } = await client.write({ channelId: 1n, content }, bearer(edges.token));
        assert.equal(message?.content, content);
        const controller = new AbortController();
        const options = { ...bearer(edges.token), signal: controller.signal };
        const stream = client.stream({}, options)[Symbol.asyncIterator]();
        assert.equal(numberOf((await stream.next()).value), 1n);
        controller.abort();
        await assert.rejects(stream.next());
        await until(() => ended === 1);
      });
  });

  test('ALPN selects the protocol of the web edge', async () => {
    await using edges = await openEdges({}, env);
    for (const [offered, selected] of [
      [['h2', 'http/1.1'], 'h2'],
      [['http/1.1'], 'http/1.1'],
      [[], false],
    ] as const) {
      const socket = await connectTls(edges.web.address, { ALPNProtocols: [...offered] });
      assert.equal(socket.alpnProtocol, selected);
      assert.ok(['TLSv1.2', 'TLSv1.3'].includes(socket.getProtocol() ?? ''));
      if (selected !== 'h2') {
        socket.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n');
        const [data] = await once(socket, 'data');
        assert.match(String(data), /^HTTP\/1\.1 404/);
      }
      socket.destroy();
    }
  });

  test('a client without TLS gets no response, and others are served', async () => {
    await using edges = await openEdges({}, { ...env, WEB_HEADER_TIMEOUT_MS: '300' });
    for (const address of [edges.web.address, edges.grpc.address]) {
      const [host = '', port] = address.split(':');
      const plain = connectTcp(Number(port), host);
      plain.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n');
      plain.on('error', () => {});
      await until(() => plain.closed || plain.readableEnded || plain.destroyed);
    }
    // One that does not begin its handshake is disconnected.
    const [host = '', port] = edges.web.address.split(':');
    const silent = connectTcp(Number(port), host);
    silent.on('error', () => {}).resume();
    await until(() => silent.closed);
    (await connectTls(edges.web.address)).destroy();
  });

  test('the mesh edge accepts only clients with a certificate of the configured authority', async () => {
    using other = await TestAuthority.create();
    const clientCa = authority.write('clients.crt', authority.cert);
    await using edges = await openEdges({}, { ...env, GRPC_TLS_CLIENT_CA: clientCa });
    const read = async (pair: { cert: string; key: string } | undefined) => {
      const ca = Buffer.from(authority.cert);
      const client = new Client(
        edges.grpc.address,
        pair === undefined
          ? credentials.createSsl(ca)
          : credentials.createSsl(ca, Buffer.from(pair.key), Buffer.from(pair.cert)),
      );
      try {
        return await unary(client, edges.token);
      } finally {
        client.close();
      }
    };
    await read(await authority.issue('order service'));
    await assert.rejects(read(undefined), /UNAVAILABLE/);
    await assert.rejects(read(await other.issue('stranger')), /UNAVAILABLE/);
  });

  test('a certificate that is replaced is used for new connections, and open ones continue', async () => {
    const first = await authority.issue('first');
    const [certFile, keyFile] = [
      authority.write('reload.crt', first.cert),
      authority.write('reload.key', first.key),
    ];
    await using edges = await openEdges(
      {},
      {
        WEB_TLS_CERT: certFile,
        WEB_TLS_KEY: keyFile,
        GRPC_TLS_CERT: certFile,
        GRPC_TLS_KEY: keyFile,
        TLS_RELOAD_MS: '20',
      },
    );
    const open = http2.connect(`https://${edges.web.address}`, { ca: authority.cert });
    await once(open, 'connect');
    assert.equal(await commonNameOf(edges.web.address), 'first');
    const second = await authority.issue('second');
    authority.write('reload.crt', second.cert);
    await until(() => edges.log.some(({ msg }) => msg === 'TLS certificate cannot be reloaded'));
    assert.equal(await commonNameOf(edges.grpc.address), 'first');
    authority.write('reload.key', second.key);
    for (const { address } of [edges.web, edges.grpc])
      await until(async () => (await commonNameOf(address)) === 'second');
    const request = open.request({ ':path': '/' });
    const [headers] = await once(request, 'response');
    assert.equal(headers[':status'], 404);
    open.destroy();
  });

  test('a drain does not wait for handshakes', async () => {
    const edges = await openEdges({}, env);
    for (const { address } of [edges.web, edges.grpc]) {
      const [host = '', port] = address.split(':');
      const silent = connectTcp(Number(port), host);
      await once(silent, 'connect');
      silent.on('error', () => {}).resume();
    }
    await Promise.all([edges.web.drain(), edges.grpc.drain()]);
  });

  test('an incomplete configuration is rejected', async () => {
    for (const [incomplete, pattern] of [
      [{ WEB_TLS_CERT: 'a.crt' }, /WEB_TLS_CERT and WEB_TLS_KEY/],
      [{ GRPC_TLS_KEY: 'a.key' }, /GRPC_TLS_CERT and GRPC_TLS_KEY/],
      [{ GRPC_TLS_CLIENT_CA: 'ca.crt' }, /GRPC_TLS_CERT and GRPC_TLS_KEY/],
    ] as const)
      assert.throws(() => toConfig({ ...testEnv, ...incomplete }), pattern);
    const { key } = await authority.issue('other');
    const mismatched = { ...env, WEB_TLS_KEY: authority.write('other.key', key) };
    await assert.rejects(openEdges({}, mismatched), /key values mismatch/);
  });
});

async function connectTls(address: string, options: tls.ConnectionOptions = {}): Promise<tls.TLSSocket> {
  const [host = '', port] = address.split(':');
  const socket = tls.connect({ host, port: Number(port), ca: authority.cert, ...options });
  await once(socket, 'secureConnect');
  return socket;
}

async function commonNameOf(address: string): Promise<string | string[] | undefined> {
  const socket = await connectTls(address, { ALPNProtocols: ['h2'] });
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return subject.CN;
}

function unary(client: Client, token: string): Promise<void> {
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  const same = (bytes: Buffer) => bytes;
  const request = Buffer.from([8, 1, 16, 1]);
  return new Promise((resolve, reject) => {
    const done = (error: ServiceError | null) => (error === null ? resolve() : reject(error));
    client.makeUnaryRequest('/test.EchoService/Read', same, same, request, metadata, done);
  });
}
