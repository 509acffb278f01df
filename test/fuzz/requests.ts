import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { DescMessage, DescMethod } from '@bufbuild/protobuf';
import type { Edge } from '../kit/app.ts';
import { nestedBinary, randomBinary } from './binary.ts';
import { nestedJson, randomJson } from './json.ts';
import { type Corpus, createValues, type Random, type Values } from './values.ts';

/** An HTTP request as it is sent. */
export type RawRequest = {
  readonly edge: Edge;
  readonly httpVersion: 1 | 2;
  readonly verb: 'POST' | 'GET';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly isStream: boolean;
  /** What was generated, for the report of a violation. */
  readonly kind: string;
};

type Protocol = {
  readonly edge: Edge;
  readonly contentType: string;
  readonly codec: 'binary' | 'json';
  /** Whether each message has a prefix of five bytes. */
  readonly enveloped: boolean;
  readonly httpVersion: 1 | 2;
};

const GRPC: Protocol = {
  edge: 'grpc',
  contentType: 'application/grpc',
  codec: 'binary',
  enveloped: true,
  httpVersion: 2,
};
const WEB_GRPC: readonly Protocol[] = [
  { ...GRPC, edge: 'web' },
  { ...GRPC, edge: 'web', contentType: 'application/grpc+json', codec: 'json' },
  ...([1, 2] as const).flatMap((httpVersion): Protocol[] => [
    { ...GRPC, edge: 'web', contentType: 'application/grpc-web+proto', httpVersion },
    { ...GRPC, edge: 'web', contentType: 'application/grpc-web+json', codec: 'json', httpVersion },
  ]),
];

function connectProtocols(isStream: boolean): readonly Protocol[] {
  const prefix = isStream ? 'application/connect+' : 'application/';
  return ([1, 2] as const).flatMap((httpVersion): Protocol[] => [
    { edge: 'web', contentType: `${prefix}proto`, codec: 'binary', enveloped: isStream, httpVersion },
    { edge: 'web', contentType: `${prefix}json`, codec: 'json', enveloped: isStream, httpVersion },
  ]);
}

// Percentages of odd values in a message: none, so that the handler runs; a few; many.
const ODD_PERCENTS = [0, 0, 0, 4, 4, 12, 40];
const BOMB_BYTES = 16_777_216;
// Fields of a request that no update mask may name.
const FIXED = /_id$|^(update_mask|etag|private|page_size|page_token)$/;
const MAX_NESTED_BYTES = 60_000;

type Damage = { readonly kind: string; readonly bytes: Buffer };

/** A random request of a method: its message, its bytes and its headers may each be malformed. */
export function randomRequest(method: DescMethod, corpus: Corpus, random: Random, auth: Headers): RawRequest {
  const isStream = method.methodKind !== 'unary';
  const protocol = random.below(5) < 2 ? GRPC : random.pick([...WEB_GRPC, ...connectProtocols(isStream)]);
  const oddPercent = random.pick(ODD_PERCENTS);
  const paths = method.input.fields.map(({ name }) => name).filter((name) => !FIXED.test(name));
  const values = createValues(random, corpus, paths.length === 0 ? ['x'] : paths, oddPercent);
  const isDamaged = random.below(4) === 0;
  const message = randomMessage(method.input, protocol, values);
  const payload = isDamaged ? damage(message.bytes, random) : { kind: 'whole', bytes: message.bytes };
  const framed = protocol.enveloped ? envelope(payload.bytes, random, isDamaged) : payload;
  const canGet = !isStream && !protocol.enveloped && random.below(5) === 0;
  const query = canGet ? `?${getQuery(protocol, payload.bytes)}` : '';
  return {
    edge: protocol.edge,
    httpVersion: protocol.httpVersion,
    verb: canGet ? 'GET' : 'POST',
    path: `/${method.parent.typeName}/${method.name}${query}`,
    headers: {
      'content-type': protocol.contentType,
      ...(protocol.contentType.startsWith('application/grpc') && { te: 'trailers' }),
      ...Object.fromEntries(auth),
      ...(isDamaged && oddHeaders(protocol, random)),
    },
    body: canGet ? Buffer.alloc(0) : framed.bytes,
    isStream,
    kind: `${protocol.contentType} HTTP/${protocol.httpVersion} ${message.kind} ${payload.kind} ${framed.kind}`,
  };
}

function randomMessage(desc: DescMessage, { codec }: Protocol, values: Values): Damage {
  const { random } = values;
  if (random.below(40) === 0) return nestedMessage(desc, codec, random);
  const bytes = codec === 'binary' ? randomBinary(desc, values) : randomJson(desc, values);
  return { kind: 'message', bytes: Buffer.from(bytes) };
}

function nestedMessage(desc: DescMessage, codec: Protocol['codec'], random: Random): Damage {
  const size = random.pick([500, 5_000, MAX_NESTED_BYTES]);
  const metadata = desc.fields.find(({ message }) => message?.typeName === 'google.protobuf.Struct');
  if (codec === 'json') {
    const text = nestedJson(metadata?.name ?? 'unknown', random.pick(['[', '{"a":']), size);
    return { kind: 'nested', bytes: Buffer.from(text) };
  }
  // Struct.fields, the value of the entry, Value.struct_value; or Value.list_value and ListValue.values.
  const levels = random.pick([
    [1, 2, 5],
    [6, 1],
  ]);
  const struct = nestedBinary(levels, size);
  const outer = nestedBinary([metadata?.number ?? 1], 1);
  return { kind: 'nested', bytes: Buffer.concat([outer.subarray(0, -1), prefixed(struct)]) };
}

function prefixed(bytes: Uint8Array): Buffer {
  const length: number[] = [];
  for (let rest = bytes.length; ; rest >>>= 7) {
    if (rest < 128) {
      length.push(rest);
      return Buffer.concat([Buffer.from(length), bytes]);
    }
    length.push((rest & 127) | 128);
  }
}

function damage(bytes: Buffer, random: Random): Damage {
  const at = random.below(bytes.length + 1);
  const flipped = Buffer.from(bytes);
  for (let count = random.below(8); count >= 0 && flipped.length > 0; count -= 1)
    flipped[random.below(flipped.length)] = random.below(256);
  return random.pick<() => Damage>([
    () => ({ kind: 'truncated', bytes: bytes.subarray(0, at) }),
    () => ({ kind: 'flipped', bytes: flipped }),
    () => ({ kind: 'twice', bytes: Buffer.concat([bytes, bytes]) }),
    () => ({ kind: 'random', bytes: randomBytes(random.below(200)) }),
    () => ({ kind: 'empty', bytes: Buffer.alloc(0) }),
    () => ({
      kind: 'inserted',
      bytes: Buffer.concat([bytes.subarray(0, at), Buffer.from('\x0a\xff"{'), bytes]),
    }),
    () => ({ kind: 'whole', bytes }),
  ])();
}

/** The message behind its prefix; if damaged, perhaps with a false prefix. */
function envelope(bytes: Buffer, random: Random, isDamaged: boolean): Damage {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  const whole = { kind: 'framed', bytes: Buffer.concat([head, bytes]) };
  if (!isDamaged) return whole;
  const withHead = (flags: number, length: number, payload = bytes) => {
    const other = Buffer.alloc(5);
    other[0] = flags;
    other.writeUInt32BE(length, 1);
    return Buffer.concat([other, payload]);
  };
  return random.pick<() => Damage>([
    () => whole,
    () => ({ kind: 'no frame', bytes }),
    () => ({ kind: 'long frame', bytes: withHead(0, bytes.length + 1 + random.below(1_000)) }),
    () => ({ kind: 'huge frame', bytes: withHead(0, 0xffffffff) }),
    () => ({ kind: 'short frame', bytes: withHead(0, Math.max(0, bytes.length - 1)) }),
    () => ({ kind: 'flags', bytes: withHead(random.pick([2, 4, 128, 255]), bytes.length) }),
    () => ({ kind: 'two frames', bytes: Buffer.concat([whole.bytes, whole.bytes]) }),
    () => ({ kind: 'no gzip', bytes: withHead(1, bytes.length) }),
    () => ({ kind: 'gzip', bytes: compressed(gzipSync(bytes), withHead) }),
    () => ({ kind: 'half gzip', bytes: compressed(gzipSync(bytes).subarray(0, -6), withHead) }),
    () => ({ kind: 'bomb', bytes: compressed(bomb(), withHead) }),
  ])();
}

function compressed(bytes: Buffer, withHead: (flags: number, length: number, payload: Buffer) => Buffer) {
  return withHead(1, bytes.length, bytes);
}

let bombBytes: Buffer | undefined;

function bomb(): Buffer {
  bombBytes ??= gzipSync(Buffer.alloc(BOMB_BYTES));
  return bombBytes;
}

function oddHeaders({ enveloped }: Protocol, random: Random): Record<string, string> {
  const encoding = enveloped ? 'grpc-encoding' : 'content-encoding';
  return random.pick<Record<string, string>>([
    {},
    { [encoding]: 'gzip', 'connect-content-encoding': 'gzip' },
    { [encoding]: 'gzip', 'connect-content-encoding': 'gzip' },
    { [encoding]: 'zstd', 'connect-content-encoding': 'br' },
    { 'grpc-timeout': '99999999H', 'connect-timeout-ms': '9999999999' },
    { 'grpc-timeout': '0n', 'connect-timeout-ms': '0' },
    { 'grpc-timeout': 'soon', 'connect-timeout-ms': '-1' },
    { 'x-request-id': "'; drop table messages; --" },
    { 'x-user-id': '99999999999999999999', 'x-tenant-id': '-1' },
    { authorization: 'Bearer a.b.c' },
    { authorization: '' },
    { 'content-type': 'text/plain' },
    { 'grpc-accept-encoding': 'gzip,br', 'accept-encoding': 'gzip;q=x' },
    { 'x-junk-bin': '****' },
  ]);
}

function getQuery({ codec }: Protocol, bytes: Buffer): string {
  const encoding = codec === 'json' ? 'json' : 'proto';
  return `connect=v1&encoding=${encoding}&base64=1&message=${bytes.toString('base64url').slice(0, 8_000)}`;
}

type Headers = ReadonlyMap<string, string>;
