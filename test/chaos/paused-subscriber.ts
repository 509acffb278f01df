import { request } from 'node:http';
import { connect } from 'node:http2';
import type { Readable } from 'node:stream';
import { fromBinary } from '@bufbuild/protobuf';
import { SubscribeResponseSchema } from '#gen/serp/discuss/v1/event_service_pb.ts';
import type { Edge } from '../kit/app.ts';
import { ChannelCursors } from '../kit/channel-cursors.ts';
import { EnvelopeReader, encodeSubscribe, SUBSCRIBE_HEADERS, SUBSCRIBE_PATH } from '../kit/raw-subscribe.ts';

/** Instance, channel and token of a subscription. */
export type PausedTarget = {
  readonly edge: Edge;
  readonly url: string;
  readonly token: string;
  readonly channelId: bigint;
};

type Opened = { readonly stream: Readable; close(): void };

const RETRY_MS = 200;

/** A subscriber of one channel over a dedicated connection that it can stop reading. */
export class PausedSubscriber {
  /** Times the stream ended and was resumed from the cursor. */
  reconnects = 0;
  readonly #target: PausedTarget;
  readonly #cursors = new ChannelCursors();
  #opened: Opened | undefined;
  #paused = false;

  constructor(target: PausedTarget) {
    this.#target = target;
  }

  /** `seq` of the last event. */
  get seq(): bigint {
    return this.#cursors.seqs.get(this.#target.channelId) ?? 0n;
  }

  /** Resets, and events that did not follow the previous one. */
  get gaps(): number {
    return this.#cursors.faults.length + this.#cursors.resets;
  }

  /** Resolves when the stream has started. */
  async open(): Promise<void> {
    const body = encodeSubscribe({ channelIds: [this.#target.channelId], cursors: this.#cursors.request });
    const opened = await (this.#target.edge === 'grpc'
      ? openGrpc(this.#target, body)
      : openWeb(this.#target, body));
    this.#opened = opened;
    const reader = new EnvelopeReader((message) =>
      this.#cursors.take(fromBinary(SubscribeResponseSchema, message).payload),
    );
    const { stream } = opened;
    stream.on('data', (chunk: Buffer) => reader.read(chunk));
    stream.on('error', () => {});
    stream.once('close', () => {
      opened.close();
      this.#opened = undefined;
      if (!this.#paused) this.#reopen();
    });
  }

  pause(): void {
    this.#paused = true;
    this.#opened?.stream.pause();
  }

  resume(): void {
    this.#paused = false;
    if (this.#opened === undefined) this.#reopen();
    else this.#opened.stream.resume();
  }

  #reopen(): void {
    this.reconnects += 1;
    setTimeout(() => this.open().catch(() => this.#reopen()), RETRY_MS * (1 + Math.random()));
  }
}

function openGrpc({ url, token }: PausedTarget, body: Buffer): Promise<Opened> {
  const session = connect(url);
  session.on('error', () => {});
  const stream = session.request({
    ':method': 'POST',
    ':path': SUBSCRIBE_PATH,
    ...SUBSCRIBE_HEADERS.grpc,
    authorization: `Bearer ${token}`,
  });
  stream.end(body);
  return started(stream, () => session.destroy());
}

async function openWeb({ url, token }: PausedTarget, body: Buffer): Promise<Opened> {
  const headers = { ...SUBSCRIBE_HEADERS.web, authorization: `Bearer ${token}` };
  const call = request(`${url}${SUBSCRIBE_PATH}`, { method: 'POST', headers, agent: false });
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
