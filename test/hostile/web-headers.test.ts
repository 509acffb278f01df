import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import http2, { type ClientHttp2Session, constants } from 'node:http2';
import type { Socket } from 'node:net';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { bearer, openEdges, type TestEdges } from '../kit/edge/edges.ts';
import {
  continuationFrame,
  END_HEADERS,
  END_STREAM,
  headersFrame,
  openSocket,
  PREFACE,
} from '../kit/edge/raw-http2.ts';
import { until } from '../kit/until.ts';

const path = '/test.EchoService/Read?message={"channelId":"1","messageId":"1"}&encoding=json&connect=v1';
const timeoutMs = 400;

suite('a request with more headers than the limit is rejected, and others are served', () => {
  const cases = [
    { name: 'fields', headers: fields(150, 1) },
    { name: 'bytes', headers: fields(20, 1_000) },
  ];
  for (const { name, headers } of cases) {
    test(`${name}, HTTP/1.1`, async () => {
      await using edges = await openEdges();
      const request = http.get(`http://${edges.web.address}${path}`, {
        headers: { ...headers, ...bearer(edges.token).headers },
      });
      const [response] = await once(request, 'response');
      assert.equal(response.statusCode, 431);
      assert.equal(edges.log.length, 0);
    });

    test(`${name}, HTTP/2`, async () => {
      await using edges = await openEdges();
      const session = http2.connect(`http://${edges.web.address}`);
      assert.equal(await statusOf(session, bearer(edges.token).headers), 200);
      const code = await resetCode(session, { ...headers, ...bearer(edges.token).headers });
      assert.equal(code, constants.NGHTTP2_ENHANCE_YOUR_CALM);
      assert.equal(edges.log.filter(({ msg }) => msg === 'rpc').length, 1);
      assert.equal(await statusOf(session, bearer(edges.token).headers), 200);
      session.destroy();
    });
  }

  test('95,000 fields', async () => {
    await using edges = await openEdges();
    const socket = await openSocket(edges.web.address);
    socket.write(PREFACE);
    socket.write(headersFrame(1, target(edges), END_STREAM));
    for (let part = 0; part < 95 && !socket.destroyed; part += 1)
      socket.write(continuationFrame(1, fields(1_000, 1)));
    await closed(socket);
    assert.equal(edges.log.length, 0);
    await isServing(edges);
  });
});

suite('headers that do not end are ended', () => {
  const start: { name: string; bytes: (edges: TestEdges) => Buffer; more?: Buffer }[] = [
    { name: 'nothing', bytes: () => Buffer.alloc(0) },
    { name: 'HTTP/1.1', bytes: () => Buffer.from('GET / HTTP/1.1\r\n'), more: Buffer.from('a: b\r\n') },
    { name: 'the preface of HTTP/2 only', bytes: () => PREFACE },
    { name: 'half a frame', bytes: () => Buffer.concat([PREFACE, Buffer.alloc(5)]) },
    { name: 'HEADERS', bytes: (edges) => Buffer.concat([PREFACE, headersFrame(1, target(edges), 0)]) },
    {
      name: 'HEADERS after a call',
      bytes: (edges) =>
        Buffer.concat([
          PREFACE,
          headersFrame(1, target(edges), END_STREAM | END_HEADERS),
          headersFrame(3, target(edges), 0),
        ]),
    },
    {
      name: 'CONTINUATION without end',
      bytes: (edges) => Buffer.concat([PREFACE, headersFrame(1, target(edges), 0)]),
      more: continuationFrame(1, { a: 'b' }),
    },
  ];
  for (const { name, bytes, more } of start)
    test(name, async () => {
      await using edges = await openEdges({}, { WEB_HEADER_TIMEOUT_MS: String(timeoutMs) });
      const socket = await openSocket(edges.web.address);
      socket.write(bytes(edges));
      const trickle = setInterval(() => more === undefined || socket.write(more), timeoutMs / 4);
      await closed(socket);
      clearInterval(trickle);
      await isServing(edges);
    });

  test('a client that was sent a rejection of its headers keeps its connection', async () => {
    await using edges = await openEdges({}, { WEB_HEADER_TIMEOUT_MS: String(timeoutMs) });
    const session = http2.connect(`http://${edges.web.address}`);
    assert.equal(await statusOf(session, bearer(edges.token).headers), 200);
    await resetCode(session, { ...fields(150, 1), ...bearer(edges.token).headers });
    // Not a wait for an event: nothing may happen in several times the limit.
    await sleep(3 * timeoutMs);
    assert.equal(await statusOf(session, bearer(edges.token).headers), 200);
    session.destroy();
  });

  test('a call that arrives in time is served when the process stalls until the time is over', async () => {
    await using edges = await openEdges({}, { WEB_HEADER_TIMEOUT_MS: String(timeoutMs) });
    const session = http2.connect(`http://${edges.web.address}`);
    await once(session, 'remoteSettings');
    const status = statusOf(session, bearer(edges.token).headers);
    const end = performance.now() + 2 * timeoutMs;
    setImmediate(() => {
      while (performance.now() < end);
    });
    assert.equal(await status, 200);
    session.destroy();
  });

  test('a connection without an authorized call is ended', async () => {
    await using edges = await openEdges({}, { WEB_HEADER_TIMEOUT_MS: String(timeoutMs) });
    const session = http2.connect(`http://${edges.web.address}`);
    session.on('error', () => {});
    assert.equal(await statusOf(session, {}), 401);
    const ping = setInterval(() => !session.destroyed && session.ping(() => {}), timeoutMs / 4);
    await until(() => session.closed || session.destroyed);
    clearInterval(ping);
    session.destroy();
  });
});

test('a stream may send little before its connection has had an authorized call', async () => {
  await using edges = await openEdges();
  const session = http2.connect(`http://${edges.web.address}`);
  await once(session, 'remoteSettings');
  assert.equal(session.remoteSettings.initialWindowSize, 4_096);
  assert.equal(await statusOf(session, {}), 401);
  assert.equal(session.remoteSettings.initialWindowSize, 4_096);
  const settings = once(session, 'remoteSettings', { signal: AbortSignal.timeout(10_000) });
  assert.equal(await statusOf(session, bearer(edges.token).headers), 200);
  await settings;
  assert.equal(session.remoteSettings.initialWindowSize, 65_535);
  session.destroy();
});

function fields(count: number, bytes: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`x-${index}`, 'x'.repeat(bytes)]));
}

function target({ web, token }: TestEdges): Record<string, string> {
  return {
    ':method': 'GET',
    ':scheme': 'http',
    ':authority': web.address,
    ':path': path,
    ...bearer(token).headers,
  };
}

async function statusOf(session: ClientHttp2Session, headers: Record<string, string>): Promise<number> {
  const request = session.request({ ':path': path, ...headers });
  request.resume();
  const [response] = await once(request, 'response', { signal: AbortSignal.timeout(10_000) });
  return response[':status'];
}

async function resetCode(session: ClientHttp2Session, headers: Record<string, string>): Promise<number> {
  const request = session.request({ ':path': path, ...headers });
  request.on('error', () => {});
  request.resume();
  await new Promise((resolve) => request.once('close', resolve));
  return request.rstCode;
}

async function isServing(edges: TestEdges): Promise<void> {
  const response = await fetch(`http://${edges.web.address}${path}`, bearer(edges.token));
  assert.equal(response.status, 200);
}

async function closed(socket: Socket): Promise<void> {
  socket.resume();
  await until(() => socket.closed, 'the end of the connection');
}
