import { request } from 'node:http';
import { connect } from 'node:http2';
import type { Readable } from 'node:stream';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  EventService,
  SubscribeRequestSchema,
  SubscribeResponseSchema,
} from '#gen/serp/discuss/v1/event_service_pb.ts';
import type { Edge } from '../kit/app.ts';

/** Where one subscribes, to what, and as whom. */
export type PausedTarget = {
  readonly edge: Edge;
  readonly url: string;
  readonly token: string;
  readonly channelId: bigint;
};

type Opened = { readonly stream: Readable; close(): void };

const PATH = `/${EventService.typeName}/Subscribe`;
// Of each message, in gRPC as in Connect.
const HEAD_BYTES = 5;
const AGAIN_MS = 200;

/** A subscriber of one channel, on a connection of its own, that can stop reading from it. */
export class PausedSubscriber {
  /** `seq` of the last event. */
  seq = 0n;
  /** Events that did not follow the one before, and resets. */
  gaps = 0;
  /** Times the stream ended, and was opened again from the cursor. */
  reconnects = 0;
  readonly #bed: PausedTarget;
  #opened: Opened | undefined;
  #asleep = false;
  #rest: Buffer = Buffer.alloc(0);

  constructor(bed: PausedTarget) {
    this.#bed = bed;
  }

  /** Resolves when the stream has started. */
  async open(): Promise<void> {
    const body = requestOf(this.#bed, this.seq);
    const opened = await (this.#bed.edge === 'grpc' ? openGrpc(this.#bed, body) : openWeb(this.#bed, body));
    this.#opened = opened;
    this.#rest = Buffer.alloc(0);
    const { stream } = opened;
    stream.on('data', (chunk: Buffer) => this.#read(chunk));
    stream.on('error', () => {});
    stream.once('close', () => {
      opened.close();
      this.#opened = undefined;
      if (!this.#asleep) this.#openAgain();
    });
  }

  sleep(): void {
    this.#asleep = true;
    this.#opened?.stream.pause();
  }

  wake(): void {
    this.#asleep = false;
    if (this.#opened === undefined) this.#openAgain();
    else this.#opened.stream.resume();
  }

  #openAgain(): void {
    this.reconnects += 1;
    setTimeout(() => this.open().catch(() => this.#openAgain()), AGAIN_MS * (1 + Math.random()));
  }

  #read(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= HEAD_BYTES) {
      const end = HEAD_BYTES + bytes.readUInt32BE(1);
      if (bytes.length < end) break;
      const isMessage = bytes[0] === 0;
      if (isMessage) this.#take(bytes.subarray(HEAD_BYTES, end));
      bytes = bytes.subarray(end);
    }
    this.#rest = bytes;
  }

  #take(message: Buffer): void {
    const { payload } = fromBinary(SubscribeResponseSchema, message);
    if (payload.case === 'started') this.seq = payload.value.channels[0]?.startSeq ?? 0n;
    if (payload.case === 'reset') this.gaps += 1;
    if (payload.case !== 'event') return;
    if (payload.value.seq !== this.seq + 1n) this.gaps += 1;
    this.seq = payload.value.seq;
  }
}

function requestOf({ channelId }: PausedTarget, seq: bigint): Buffer {
  const cursors = seq === 0n ? [] : [{ channelId, seq }];
  const subscription = create(SubscribeRequestSchema, { channelIds: [channelId], cursors });
  const message = toBinary(SubscribeRequestSchema, subscription);
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

function openGrpc({ url, token }: PausedTarget, body: Buffer): Promise<Opened> {
  const session = connect(url);
  session.on('error', () => {});
  const stream = session.request({
    ':method': 'POST',
    ':path': PATH,
    'content-type': 'application/grpc',
    te: 'trailers',
    authorization: `Bearer ${token}`,
  });
  stream.end(body);
  return started(stream, () => session.destroy());
}

async function openWeb({ url, token }: PausedTarget, body: Buffer): Promise<Opened> {
  const headers = {
    'content-type': 'application/connect+proto',
    'connect-protocol-version': '1',
    authorization: `Bearer ${token}`,
  };
  const call = request(`${url}${PATH}`, { method: 'POST', headers, agent: false });
  const response = new Promise<Readable>((resolve, reject) => {
    call.once('response', resolve);
    call.on('error', reject);
  });
  call.end(body);
  return started(await response, () => call.destroy());
}

function started(stream: Readable, close: () => void): Promise<Opened> {
  return new Promise((resolve, reject) => {
    stream.once('readable', () => resolve({ stream, close }));
    stream.once('close', () => reject(new Error('the stream did not start')));
    stream.once('error', reject);
  });
}
