import type { ClientHttp2Session } from 'node:http2';
import type { Opening } from '../processes/reader.ts';
import { readSentTime } from './timestamped-text.ts';

/** The kind of message that a stream counts, by the first bytes of its SubscribeResponse. */
export type Counted = keyof typeof TAGS;

const TAGS = {
  event: Buffer.of(0x0a),
  presence: Buffer.of(0xf2, 0x01),
  typing: Buffer.of(0x82, 0x02),
};
const HEADER_BYTES = 5;

/** A client's stream that counts messages of one kind without decoding them. */
export class CountingStream {
  /** Resolves with the first message. */
  readonly started: Promise<void>;
  lastEvent: Buffer = Buffer.alloc(0);
  readonly #tag: Buffer;
  #events = 0;
  #latencies: number[] = [];
  #rest: Buffer | undefined;
  #waiting: { readonly events: number; readonly resolve: () => void } | undefined;

  constructor(session: ClientHttp2Session, { path, headers, body, counted }: Opening, token: string) {
    this.#tag = TAGS[counted ?? 'event'];
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      authorization: `Bearer ${token}`,
      ...headers,
    });
    stream.on('data', (chunk: Buffer) => this.#read(chunk));
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

  #read(chunk: Buffer): void {
    let bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= HEADER_BYTES) {
      const end = HEADER_BYTES + bytes.readUInt32BE(1);
      if (bytes.length < end) break;
      const from = bytes.subarray(HEADER_BYTES, HEADER_BYTES + this.#tag.length);
      if (from.equals(this.#tag)) this.#count(bytes.subarray(0, end));
      bytes = bytes.subarray(end);
    }
    this.#rest = bytes.length === 0 ? undefined : bytes;
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
