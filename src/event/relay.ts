import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import type { Logger } from 'pino';
import { BatchSchema } from '#gen/serp/discuss/relay/v1/relay_pb.ts';
import type { SubscribeResponseSchema } from '#gen/serp/discuss/v1/event_service_pb.ts';
import type { Config } from '../config.ts';
import type { RedisClient } from '../redis/client.ts';
import { Listener } from '../redis/subscriber.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { LoggedEvent } from './log/sql.ts';
import { peekEvent, toFrame, toReceivedFrame } from './log/wire.ts';
import type { Hub } from './subscribe/hub.ts';
import type { PresenceUpdate, TypingUpdate } from './subscribe/live.ts';
import type { TenantStreams } from './tenant-stream/tenant-streams.ts';

// Spread over the nodes of a cluster by their hash tags. An instance publishes on one of them and listens to all.
const CHANNELS = Array.from({ length: 64 }, (_, shard) => `discuss:relay:{${shard}}`);
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
  readonly #feeds: TenantStreams;
  readonly #redis: RedisClient;
  readonly #listener: Listener;
  readonly #origin: string;
  readonly #metrics: Metrics;
  #shard = Math.floor(Math.random() * CHANNELS.length);
  #unsent = 0;

  constructor(parts: {
    hub: Hub;
    feeds: TenantStreams;
    redis: RedisClient;
    config: Config;
    metrics: Metrics;
    log: Logger;
  }) {
    this.#hub = parts.hub;
    this.#feeds = parts.feeds;
    this.#redis = parts.redis;
    this.#origin = parts.config.instance;
    this.#metrics = parts.metrics;
    this.#listener = new Listener({
      config: parts.config.redis,
      redis: parts.redis,
      channels: CHANNELS,
      receive: (message) => this.#receive(message),
      log: parts.log.child({ part: 'relay' }),
    });
  }

  /** Delivers committed events, here and to the other instances. */
  publish(events: readonly LoggedEvent[]): void {
    for (const event of events) this.#hub.deliver(event);
    if (events.length === 0) return;
    this.#feeds.wake();
    this.#send({ events: events.map(({ payload }) => payload) });
  }

  /** Tells one user's streams something that is in no channel's log. */
  signal(tenantId: bigint, userId: bigint, payload: Payload): void {
    this.signalAll([{ tenantId, userId, payload }]);
  }

  /** Tells the streams of several users, with one message. */
  signalAll(news: readonly News[]): void {
    const signals = news.map(({ tenantId, userId, payload }): Signal => {
      const frame = toFrame(payload);
      this.#hub.signal(tenantId, userId, frame);
      return { tenantId, userId, response: frame.binary };
    });
    if (signals.length > 0) this.#send({ signals });
  }

  /** Tells who share a channel with these users, or asked for them. */
  presence(news: readonly (PresenceUpdate & { readonly payload: Payload })[]): void {
    const presence = news.map(({ payload, ...one }) => {
      const frame = toFrame(payload);
      this.#hub.live.presence(one, frame);
      return { ...one, channelIds: [...one.channelIds], response: frame.binary };
    });
    if (presence.length > 0) this.#send({ presence });
  }

  /** Tells the other members of a channel that somebody types, or stopped. */
  typing(news: TypingUpdate): void {
    this.#hub.live.typing(news);
    const { channelId, userId, until } = news;
    this.#send({ typing: [{ channelId, userId, expireTimeMs: BigInt(until) }] });
  }

  close(): void {
    this.#listener.close();
  }

  #send(batch: Omit<MessageInitShape<typeof BatchSchema>, '$typeName'>): void {
    if (this.#redis.status !== 'ready' || this.#unsent >= MAX_UNSENT) {
      this.#metrics.relayFailures.inc();
      return;
    }
    const channel = CHANNELS[this.#shard] ?? '';
    const message = Buffer.from(
      toBinary(BatchSchema, create(BatchSchema, { ...batch, origin: this.#origin })),
    );
    const sent = this.#listener.sharded
      ? this.#redis.spublish(channel, message)
      : this.#redis.publish(channel, message);
    this.#unsent += 1;
    sent
      .catch(() => {
        this.#metrics.relayFailures.inc();
        // The node of a cluster that serves this one may be dead: go on with another.
        this.#shard = (this.#shard + 1) % CHANNELS.length;
      })
      .finally(() => {
        this.#unsent -= 1;
      });
  }

  #receive(message: Buffer): void {
    const batch = fromBinary(BatchSchema, message);
    if (batch.origin === this.#origin) return;
    for (const event of batch.events) this.#hub.deliver(peekEvent(Buffer.from(event)));
    if (batch.events.length > 0) this.#feeds.wake();
    for (const { tenantId, userId, response } of batch.signals) {
      this.#hub.signal(tenantId, userId, toReceivedFrame(response));
    }
    for (const news of batch.presence) this.#hub.live.presence(news, toReceivedFrame(news.response));
    for (const { channelId, userId, expireTimeMs } of batch.typing) {
      this.#hub.live.typing({ channelId, userId, until: Number(expireTimeMs) });
    }
  }
}
