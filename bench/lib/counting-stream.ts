import type { ClientHttp2Session } from 'node:http2';
import type { DescField } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { SubscribeResponseSchema } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { EnvelopeReader } from '../../test/kit/raw-subscribe.ts';
import type { Opening } from '../processes/reader.ts';
import { readSentTime } from './timestamped-text.ts';

/** The kind of message that a stream counts, by the first bytes of its SubscribeResponse. */
export type Counted = keyof typeof TAGS;

const { event, presence, typing } = SubscribeResponseSchema.field;
const TAGS = { event: toTag(event), presence: toTag(presence), typing: toTag(typing) };

/** A client's stream that counts messages of one kind without decoding them. */
export class CountingStream {
  /** Resolves with the first message. */
  readonly started: Promise<void>;
  lastEvent: Buffer = Buffer.alloc(0);
  readonly #tag: Buffer;
  #events = 0;
  #latencies: number[] = [];
  #waiting: { readonly events: number; readonly resolve: () => void } | undefined;

  constructor(session: ClientHttp2Session, { path, headers, body, counted }: Opening, token: string) {
    this.#tag = TAGS[counted ?? 'event'];
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      authorization: `Bearer ${token}`,
      ...headers,
    });
    const reader = new EnvelopeReader((message, envelope) => {
      if (message.subarray(0, this.#tag.length).equals(this.#tag)) this.#count(envelope);
    });
    stream.on('data', (chunk: Buffer) => reader.read(chunk));
    this.started = new Promise((resolve, reject) => {
      stream.once('data', () => resolve());
      stream.once('error', reject);
      stream.once('close', () => reject(new Error('the stream ended before it started')));
    });
    this.started.catch(() => {});
    stream.end(Buffer.from(body, 'base64'));
  }

  get events(): number {
    return this.#events;
  }

  waitFor(events: number): Promise<void> {
    if (this.#events >= events) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting = { events, resolve };
    });
  }

  takeLatencies(): number[] {
    const latencies = this.#latencies;
    this.#latencies = [];
    return latencies;
  }

  #count(frame: Buffer): void {
    this.#events += 1;
    this.lastEvent = frame;
    const sentAt = readSentTime(frame);
    if (sentAt !== undefined) this.#latencies.push(Number(process.hrtime.bigint() - sentAt) / 1e6);
    if (this.#waiting !== undefined && this.#events >= this.#waiting.events) {
      this.#waiting.resolve();
      this.#waiting = undefined;
    }
  }
}

function toTag({ number }: DescField): Buffer {
  return Buffer.from(new BinaryWriter().tag(number, WireType.LengthDelimited).finish());
}
