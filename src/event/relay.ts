import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { BatchSchema } from '#gen/serp/discuss/relay/v1/relay_pb.ts';
import type { SubscribeResponseSchema } from '#gen/serp/discuss/v1/event_service_pb.ts';
import type { Config } from '../config.ts';
import type { Metrics } from '../edge/metrics.ts';
import { peekEvent, toFrame, toReceivedFrame } from './frames.ts';
import type { Hub } from './hub.ts';
import type { LoggedEvent } from './sql.ts';

const SHARDS = 64n;
const MAX_UNSENT = 2_000;

type Payload = MessageInitShape<typeof SubscribeResponseSchema>['payload'];
type News = { readonly tenantId: bigint; readonly userId: bigint; readonly payload: Payload };
type Signal = { readonly tenantId: bigint; readonly userId: bigint; readonly response: Buffer };

/**
 * Carries what was committed here to the streams of all instances: to those of this process directly, to the
 * others through Redis pub/sub. Nothing waits for Redis and nothing is lost with it: the hub finds in the log
 * what did not come.
 */
export class Relay {
  readonly #hub: Hub;
  readonly #publisher: Redis;
  readonly #subscriber: Redis;
  readonly #origin: string;
  readonly #metrics: Metrics;
  readonly #log: Logger;
  #sharded = true;
  #unsent = 0;

  constructor(parts: { hub: Hub; redis: Redis; config: Config; metrics: Metrics; log: Logger }) {
    this.#hub = parts.hub;
    this.#publisher = parts.redis;
    this.#origin = parts.config.instance;
    this.#metrics = parts.metrics;
    this.#log = parts.log.child({ part: 'relay' });
    this.#subscriber = parts.redis.duplicate({ autoResubscribe: false });
    this.#subscriber.on('error', () => {});
    const receive = (_: Buffer, message: Buffer) => this.#receive(message);
    this.#subscriber.on('messageBuffer', receive);
    this.#subscriber.on('smessageBuffer', receive);
    // Also after Redis was away, be it when the process started.
    this.#subscriber.on('ready', () => {
      this.#subscribe().catch((error) =>
        this.#log.warn({ err: error }, 'not subscribed; tried again on reconnecting'),
      );
    });
  }

  /** Delivers committed events, here and to the other instances. */
  publish(events: readonly LoggedEvent[]): void {
    for (const event of events) this.#hub.deliver(event);
    for (const [shard, group] of Map.groupBy(events, ({ channelId }) => channelId % SHARDS)) {
      this.#send(`discuss:events:{${shard}}`, { events: group.map(({ payload }) => payload) });
    }
  }

  /** Tells one user's streams something that is in no channel's log. */
  signal(tenantId: bigint, userId: bigint, payload: Payload): void {
    this.signalAll([{ tenantId, userId, payload }]);
  }

  /** Tells the streams of several users, with one message for each shard. */
  signalAll(news: readonly News[]): void {
    const signals = news.map(({ tenantId, userId, payload }): Signal => {
      const frame = toFrame(payload);
      this.#hub.signal(tenantId, userId, frame);
      return { tenantId, userId, response: frame.binary };
    });
    for (const [shard, group] of Map.groupBy(signals, ({ userId }) => userId % SHARDS)) {
      this.#send(`discuss:users:{${shard}}`, { signals: group });
    }
  }

  async close(): Promise<void> {
    this.#subscriber.disconnect();
  }

  #send(channel: string, batch: { events?: Buffer[]; signals?: Signal[] }): void {
    if (this.#publisher.status !== 'ready' || this.#unsent >= MAX_UNSENT) {
      this.#metrics.relayFailures.inc();
      return;
    }
    const message = Buffer.from(
      toBinary(BatchSchema, create(BatchSchema, { ...batch, origin: this.#origin })),
    );
    const sent = this.#sharded
      ? this.#publisher.spublish(channel, message)
      : this.#publisher.publish(channel, message);
    this.#unsent += 1;
    sent
      .catch(() => this.#metrics.relayFailures.inc())
      .finally(() => {
        this.#unsent -= 1;
      });
  }

  // Servers before Redis 7 know no sharded pub/sub; the plain one does the same on a single server.
  async #subscribe(): Promise<void> {
    const names = ['events', 'users'].flatMap((kind) =>
      Array.from({ length: Number(SHARDS) }, (_, shard) => `discuss:${kind}:{${shard}}`),
    );
    try {
      await this.#subscriber.ssubscribe(...names);
    } catch (error) {
      if (!(error instanceof Error) || !/unknown command/i.test(error.message)) throw error;
      this.#sharded = false;
      await this.#subscriber.subscribe(...names);
    }
  }

  #receive(message: Buffer): void {
    const batch = fromBinary(BatchSchema, message);
    if (batch.origin === this.#origin) return;
    for (const event of batch.events) this.#hub.deliver(peekEvent(Buffer.from(event)));
    for (const { tenantId, userId, response } of batch.signals) {
      this.#hub.signal(tenantId, userId, toReceivedFrame(response));
    }
  }
}
