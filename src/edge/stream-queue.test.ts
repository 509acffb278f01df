import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2, { type ClientHttp2Session, type ClientHttp2Stream, type ServerHttp2Stream } from 'node:http2';
import net, { type AddressInfo, Socket } from 'node:net';
import { test } from 'node:test';
import { END_HEADERS, headersFrame, openSocket, PREFACE } from '../../test/kit/edge/raw-http2.ts';
import { until } from '../../test/kit/until.ts';
import { connectionLimits } from './reset-limit.ts';
import { StreamQueue } from './stream-queue.ts';

const STREAMS = 200;
const CONNECTIONS = 40;
const FLOOD = 6_000;
const CALL_MS = 3;

test('streams of another connection start between those of one that opens hundreds at once', async () => {
  await using server = await openServer();
  const socket = await openSocket(server.address);
  const other = http2.connect(`http://${server.address}`);
  await once(await request(other, '/before'), 'response');
  socket.write(Buffer.concat([PREFACE, ...Array.from({ length: STREAMS }, (_, index) => headers(index))]));
  await until(() => server.started.includes('/many'));
  await once(await request(other, '/other'), 'response');
  const many = server.started.filter((path) => path === '/many').length;
  assert.ok(many < STREAMS, `${many} of ${STREAMS} before`);
  await until(() => server.started.length === STREAMS + 2, 'all streams', 60_000);
  other.destroy();
  socket.destroy();
});

test('streams of a connection whose last call was admitted start before those of others', async () => {
  await using server = await openServer();
  const other = await openTrusted(server);
  const sockets = await Promise.all(Array.from({ length: CONNECTIONS }, () => openSocket(server.address)));
  const streams = Array.from({ length: STREAMS / CONNECTIONS }, (_, index) => headers(index));
  for (const socket of sockets) socket.write(Buffer.concat([PREFACE, ...streams]));
  await until(() => server.sessions.size > CONNECTIONS / 2 && server.started.length > 1);
  await once(await request(other, '/other'), 'response');
  assert.ok(server.started.length < STREAMS, 'the others still wait');
  const { arrived, started } = server.last;
  assert.ok(started - arrived <= 3, `${started - arrived} streams started before`);
  other.destroy();
  for (const socket of sockets) socket.destroy();
});

test('a connection that has sent much before it is opened is read', async () => {
  await using server = await openServer();
  const [wait, open] = server.deferOpening();
  const socket = await openSocket(server.address);
  const windowUpdate = Buffer.from([0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
  socket.write(Buffer.concat([PREFACE, ...Array<Buffer>(20_000).fill(windowUpdate), headers(0)]));
  const waiting = await wait;
  await until(() => waiting.readableLength >= waiting.readableHighWaterMark, 'a full buffer');
  open();
  await until(() => server.started.length > 0, 'the call');
  socket.destroy();
});

test('calls of others are served between the reads of a connection that opens and resets many streams', async () => {
  await using server = await openServer();
  const other = await openTrusted(server);
  const socket = await openSocket(server.address);
  const frames = Array.from({ length: FLOOD }, (_, index) => [headers(index), reset(index)]).flat();
  socket.write(Buffer.concat([PREFACE, ...frames]));
  await until(() => server.arrivals.many > 0);
  let served = 0;
  for (; server.arrivals.many < FLOOD && served < 5_000; served += 1)
    await once(await request(other, '/other'), 'response');
  assert.ok(served > 40, `${served} served`);
  other.destroy();
  socket.destroy();
});

test('the newest connection is opened first, and the oldest of more than 1,024 that wait are closed', async () => {
  const queue = new StreamQueue();
  const sockets = Array.from({ length: 1 + 1_024 + 10 }, () =>
    Object.defineProperty(new Socket(), 'remoteAddress', { value: '127.0.0.1' }),
  );
  const opened: number[] = [];
  for (const [index, socket] of sockets.entries()) queue.open(socket, () => opened.push(index));
  await until(() => opened.length === 1 + 1_024, 'all connections');
  const waited = Array.from({ length: 1_024 }, (_, index) => sockets.length - 1 - index);
  assert.deepEqual(opened, [0, ...waited]);
  const closed = sockets.flatMap(({ destroyed }, index) => (destroyed ? [index] : []));
  assert.deepEqual(closed, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test('calls of a connection that opens hundreds start with pauses, however many calls others make', async () => {
  await using server = await openServer();
  const other = await openTrusted(server);
  const socket = await openSocket(server.address);
  socket.write(Buffer.concat([PREFACE, ...Array.from({ length: STREAMS }, (_, index) => headers(index))]));
  await until(() => server.started.includes('/many'));
  for (let served = 0; served < 100; served += 1) await once(await request(other, '/other'), 'response');
  const many = server.started.filter((path) => path === '/many').length;
  assert.ok(many < 50, `${many} beside 100`);
  other.destroy();
  socket.destroy();
});

test('a connection that its client has reset while it waits is not opened', async () => {
  await using server = await openServer();
  const [accepted] = server.deferOpening();
  const client = await openSocket(server.address);
  const socket = await accepted;
  // More than is read before the connection is opened; a read would notice the end.
  client.write(Buffer.alloc(1_000_000));
  await until(() => socket.readableLength >= socket.readableHighWaterMark, 'a full buffer');
  // The socket returns this address also after the reset.
  assert.equal(socket.remoteAddress, '127.0.0.1');
  client.resetAndDestroy();
  await once(client, 'close');
  const queue = new StreamQueue();
  const opened: string[] = [];
  queue.open(new Socket(), () => opened.push('first'));
  queue.open(socket, () => opened.push('reset'));
  await until(() => socket.destroyed || opened.length > 1, 'the second connection');
  assert.deepEqual(opened, ['first']);
});

test('the event loop has pauses while connections wait to open because too many streams wait', async ({
  mock,
}) => {
  await using server = await openServer();
  const sockets = await Promise.all(Array.from({ length: CONNECTIONS }, () => openSocket(server.address)));
  const streams = Array.from({ length: STREAMS }, (_, index) => headers(index));
  for (const socket of sockets) socket.write(Buffer.concat([PREFACE, ...streams]));
  await until(() => server.arrivals.many > 512, 'more streams than may wait');
  const turns = mock.method(globalThis, 'setImmediate');
  const started = server.started.length;
  await until(() => server.started.length > started + 3, 'more calls');
  assert.ok(server.sessions.size < CONNECTIONS, 'connections wait to open');
  assert.ok(turns.mock.callCount() < 1_000, `${turns.mock.callCount()} turns`);
  for (const socket of sockets) socket.destroy();
});

test('the end of a request without a body is observed, also when it arrives before the stream starts', async () => {
  await using server = await openServer();
  const client = http2.connect(`http://${server.address}`);
  const calls = await Promise.all(Array.from({ length: STREAMS }, () => request(client, '/until-end')));
  await until(() => calls.every(({ readableEnded }) => readableEnded), 'a response to each call');
  client.destroy();
});

test('streams that are reset while they wait are not started', async () => {
  await using server = await openServer();
  const client = http2.connect(`http://${server.address}`);
  const calls = await Promise.all(Array.from({ length: STREAMS }, () => request(client, '/many')));
  await until(() => server.started.length > 0);
  for (const call of calls) call.close(http2.constants.NGHTTP2_CANCEL);
  await once(await request(client, '/last'), 'response');
  assert.ok(server.started.length < STREAMS, `${server.started.length}`);
  client.destroy();
});

test('streams that are reset before their connection is opened are counted against it', async () => {
  await using server = await openServer();
  const [wait, open] = server.deferOpening();
  const socket = await openSocket(server.address);
  const frames = Array.from({ length: STREAMS }, (_, index) => [headers(index), reset(index)]).flat();
  const bytes = Buffer.concat([PREFACE, ...frames]);
  socket.write(bytes);
  const waiting = await wait;
  await until(() => waiting.readableLength === bytes.length, 'all frames');
  open();
  await until(() => server.closed.length + server.started.length === STREAMS, 'all streams');
  const [session] = server.sessions;
  assert.ok(server.closed.length > STREAMS / 2, `${server.closed.length}`);
  for (const closed of server.closed) assert.equal(closed, session);
  socket.destroy();
});

test('waiting streams of a rejected connection are refused, so that clients can repeat them', async () => {
  await using server = await openServer();
  const client = http2.connect(`http://${server.address}`);
  const calls = await Promise.all(Array.from({ length: STREAMS }, () => request(client, '/many')));
  await until(() => server.started.length > 0);
  server.reject();
  await until(() => calls.every(({ closed, readableEnded }) => closed || readableEnded), 'all calls');
  const refused = calls.filter(({ rstCode }) => rstCode === http2.constants.NGHTTP2_REFUSED_STREAM).length;
  assert.equal(refused + server.started.length, STREAMS);
  assert.ok(refused > 0);
  client.destroy();
});

/** A connection whose last call was admitted. */
async function openTrusted(server: Awaited<ReturnType<typeof openServer>>): Promise<ClientHttp2Session> {
  const client = http2.connect(`http://${server.address}`);
  await once(await request(client, '/other'), 'response');
  server.trust();
  return client;
}

/** A server whose calls each use the CPU for a while. */
async function openServer() {
  const started: string[] = [];
  const closed: (http2.Http2Session | undefined)[] = [];
  // Numbers of streams that had started when the last one of another path arrived, and when it started.
  const last = { arrived: 0, started: 0 };
  const arrivals = { many: 0 };
  const queue = new StreamQueue();
  const server = http2.createServer(connectionLimits);
  server.on('stream', (stream: ServerHttp2Stream, { ':path': path = '' }) => {
    if (path !== '/many') last.started = started.length;
    started.push(path);
    const end = performance.now() + CALL_MS;
    while (performance.now() < end);
    const respond = () => {
      stream.respond({ ':status': 200 });
      stream.end();
    };
    if (path === '/until-end') stream.on('end', respond).resume();
    else respond();
  });
  queue.attach(server, (_headers, session) => closed.push(session));
  const sessions = new Set<http2.ServerHttp2Session>();
  const open = (socket: Socket) =>
    queue.open(socket, () => {
      server.once('session', (session) => {
        sessions.add(session);
        queue.watch(session, socket);
        session.on('stream', (_stream, { ':path': path }) => {
          if (path === '/many') arrivals.many += 1;
          else last.arrived = started.length;
        });
      });
      server.emit('connection', socket);
    });
  let accept = open;
  const tcp = net.createServer((socket) => accept(socket));
  tcp.listen(0, '127.0.0.1');
  await once(tcp, 'listening');
  const { port } = tcp.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    started,
    /** Sessions of the streams that were closed before they started. */
    closed,
    last,
    arrivals,
    sessions,
    trust: () => {
      for (const session of sessions) queue.trust(session, true);
    },
    /** The next connection, and a function that opens it. */
    deferOpening(): [Promise<Socket>, () => void] {
      const { promise, resolve } = Promise.withResolvers<Socket>();
      accept = resolve;
      return [promise, () => void promise.then(open)];
    },
    reject: () => {
      for (const session of sessions) queue.reject(session);
    },
    async [Symbol.asyncDispose]() {
      for (const session of sessions) session.destroy();
      tcp.close();
    },
  };
}

async function request(client: http2.ClientHttp2Session, path: string): Promise<ClientHttp2Stream> {
  const stream = client.request({ ':method': path === '/until-end' ? 'POST' : 'GET', ':path': path });
  stream.end();
  stream.on('error', () => {});
  stream.resume();
  return stream;
}

function reset(index: number): Buffer {
  const frame = Buffer.from([0, 0, 4, 3, 0, 0, 0, 0, 0, 0, 0, 0, http2.constants.NGHTTP2_CANCEL]);
  frame.writeUInt32BE(1 + 2 * index, 5);
  return frame;
}

function headers(index: number): Buffer {
  const fields = { ':method': 'GET', ':scheme': 'http', ':path': '/many', ':authority': 'x' };
  return headersFrame(1 + 2 * index, fields, END_HEADERS);
}
