import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import type { Logger } from 'pino';
import { type Batch, BatchSchema } from '#gen/serp/discuss/relay/v1/relay_pb.ts';
import type { SubscribeResponseSchema } from '#gen/serp/discuss/v1/event_service_pb.ts';
import type { Config } from '../config.ts';
import type { RedisClient } from '../redis/client.ts';
import { Listener } from '../redis/subscriber.ts';
import { createSigner, type Signer } from '../rpc/signer.ts';
import { guard } from '../telemetry/guard.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { fromTraceParent, type Tracer, toTraceParent } from '../telemetry/tracing.ts';
import type { LoggedEvent } from './log/wire.ts';
import { peekEvent, toFrame, toReceivedFrame } from './log/wire.ts';
import { ALL_INSTANCES, type Group, groupOf, RelayChannels, TENANT_STREAMS } from './relay-channels.ts';
import type { PresenceUpdate, TypingUpdate } from './subscribe/broadcast.ts';
import type { Hub } from './subscribe/hub.ts';
import type { TenantLog } from './tenant-stream/tenant-log.ts';

const MAX_UNSENT = 2_000;
// Between two wake-ups of the tenant streams of other instances.
const WAKE_UP_MS = 20;
const NO_CONTEXT = Buffer.alloc(0);

type Payload = MessageInitShape<typeof SubscribeResponseSchema>['payload'];
type Signal = { readonly tenantId: bigint; readonly userId: bigint; readonly payload: Payload };
type RevocationList = { refresh(): Promise<void> };
type EncodedSignal = { readonly tenantId: bigint; readonly userId: bigint; readonly response: Buffer };

/**
 * Carries what was committed here to the streams of all instances: to those of this process directly, to the others
 * through Redis pub/sub. An instance receives what concerns the tenants of its streams. Nothing waits for Redis, and nothing is lost with it: the hub reads from the log what did not
 * arrive.
 */
export class Relay {
  readonly #hub: Hub;
  readonly #tenantLog: TenantLog;
  readonly #revocations: RevocationList;
  readonly #redis: RedisClient;
  readonly #listener: Listener;
  readonly #origin: string;
  readonly #metrics: Metrics;
  readonly #tracer: Tracer | undefined;
  readonly #signer: Signer;
  readonly #deliver: (event: LoggedEvent) => void;
  readonly #deliverEncoded: (payload: Uint8Array) => void;
  readonly #channels: RelayChannels;
  #unsent = 0;
  #wakeUp: NodeJS.Timeout | undefined;

  constructor(parts: {
    hub: Hub;
    tenantLog: TenantLog;
    revocations: RevocationList;
    redis: RedisClient;
    config: Config;
    metrics: Metrics;
    tracer?: Tracer | undefined;
    log: Logger;
  }) {
    this.#hub = parts.hub;
    this.#tenantLog = parts.tenantLog;
    this.#revocations = parts.revocations;
    this.#redis = parts.redis;
    this.#origin = parts.config.instance;
    this.#metrics = parts.metrics;
    this.#tracer = parts.tracer;
    this.#signer = createSigner(parts.config.secrets.keys, 'relay');
    // Each event by itself: one that cannot be delivered must not keep back the others.
    this.#deliver = guard('event delivery', parts, (event: LoggedEvent) => this.#hub.deliver(event));
    this.#deliverEncoded = guard('event delivery', parts, (payload: Uint8Array) =>
      this.#hub.deliver(peekEvent(Buffer.from(payload))),
    );
    this.#listener = new Listener({
      config: parts.config.redis,
      redis: parts.redis,
      receive: guard('relay', parts, (message: Buffer) => this.#receive(message)),
      log: parts.log.child({ part: 'relay' }),
    });
    this.#channels = new RelayChannels(this.#listener);
  }

  /** Whether this instance receives all that it needs. */
  get isSubscribed(): boolean {
    return this.#channels.isComplete;
  }

  /** Receives what concerns a tenant until the returned function is called. Never takes long. */
  follow(tenantId: bigint): Promise<() => void> {
    return this.#channels.follow(groupOf(tenantId));
  }

  /** Receives that something was committed, for whatever tenant, until the returned function is called. */
  followCommits(): Promise<() => void> {
    return this.#channels.follow(TENANT_STREAMS);
  }

  /** Delivers committed events of a tenant, here and to the other instances. */
  publish(tenantId: bigint, events: readonly LoggedEvent[]): void {
    for (const event of events) this.#deliver(event);
    if (events.length === 0) return;
    this.#tenantLog.notify();
    const current = this.#tracer?.current;
    const traceParent = current === undefined ? {} : { traceParent: toTraceParent(current) };
    this.#send(groupOf(tenantId), { events: events.map(({ payload }) => payload), ...traceParent });
    this.#wakeUp ??= setTimeout(() => {
      this.#wakeUp = undefined;
      this.#send(TENANT_STREAMS, { committed: true });
    }, WAKE_UP_MS);
  }

  /** Sends a message that is in no channel's log to one user's streams. */
  signal(tenantId: bigint, userId: bigint, payload: Payload): void {
    this.signalAll([{ tenantId, userId, payload }]);
  }

  /** Sends such messages to the streams of several users, in one batch. */
  signalAll(signals: readonly Signal[]): void {
    const encoded = signals.map(({ tenantId, userId, payload }): EncodedSignal => {
      const frame = toFrame(payload);
      this.#hub.broadcast.signal(tenantId, userId, frame);
      return { tenantId, userId, response: frame.binary };
    });
    for (const [group, items] of byGroup(encoded)) this.#send(group, { signals: items });
  }

  /** Sends the presence of users to the streams that share a channel with them or requested them. */
  presence(updates: readonly (PresenceUpdate & { readonly payload: Payload })[]): void {
    const presence = updates.map(({ payload, ...update }) => {
      const frame = toFrame(payload);
      this.#hub.broadcast.presence(update, frame);
      return { ...update, channelIds: [...update.channelIds], response: frame.binary };
    });
    for (const [group, items] of byGroup(presence)) this.#send(group, { presence: items });
  }

  /** Sends to the other members of a channel that a user types, or stopped. */
  typing(tenantId: bigint, update: TypingUpdate): void {
    this.#hub.broadcast.typing(update);
    const { channelId, userId, until } = update;
    this.#send(groupOf(tenantId), { typing: [{ channelId, userId, expireTimeMs: BigInt(until) }] });
  }

  /** Makes the other instances read the list of revocations. */
  revocationsChanged(): void {
    this.#send(ALL_INSTANCES, { revocationsChanged: true });
  }

  close(): void {
    clearTimeout(this.#wakeUp);
    this.#channels.close();
  }

  #send(group: Group, batch: Omit<MessageInitShape<typeof BatchSchema>, '$typeName'>): void {
    if (this.#redis.status !== 'ready' || this.#unsent >= MAX_UNSENT) {
      this.#metrics.relayFailures.inc();
      return;
    }
    const channel = this.#channels.channelOf(group);
    const bytes = toBinary(BatchSchema, create(BatchSchema, { ...batch, origin: this.#origin }));
    const message = this.#signer.sign(bytes, NO_CONTEXT);
    const sent = this.#listener.sharded
      ? this.#redis.spublish(channel, message)
      : this.#redis.publish(channel, message);
    this.#unsent += 1;
    sent
      .catch(() => {
        this.#metrics.relayFailures.inc();
        this.#channels.skip(group);
      })
      .finally(() => {
        this.#unsent -= 1;
      });
  }

  #receive(message: Buffer): void {
    const batch = this.#verify(message);
    if (batch === undefined) this.#metrics.relayRejections.inc();
    if (batch === undefined || batch.origin === this.#origin) return;
    this.#metrics.relayReceived.inc();
    const { broadcast } = this.#hub;
    if (batch.revocationsChanged) void this.#revocations.refresh();
    this.#traceDelivery(batch);
    for (const payload of batch.events) this.#deliverEncoded(payload);
    if (batch.committed) this.#tenantLog.notify();
    for (const { tenantId, userId, response } of batch.signals) {
      broadcast.signal(tenantId, userId, toReceivedFrame(response));
    }
    for (const update of batch.presence) broadcast.presence(update, toReceivedFrame(update.response));
    for (const { channelId, userId, expireTimeMs } of batch.typing) {
      broadcast.typing({ channelId, userId, until: Number(expireTimeMs) });
    }
  }

  // The end of the way from the commit to the streams of this instance.
  #traceDelivery({ events, origin, traceParent }: Batch): void {
    const parent = fromTraceParent(traceParent);
    if (this.#tracer === undefined || parent?.isRecorded !== true || events.length === 0) return;
    const attributes = { 'discuss.origin': origin, 'discuss.events': `${events.length}` };
    void this.#tracer.span({ name: 'deliver', kind: 'consumer', parent, attributes }, async () => {});
  }

  // A client with access to Redis can publish here, too; only instances know the keys.
  #verify(message: Buffer): Batch | undefined {
    const bytes = this.#signer.verify(message, NO_CONTEXT);
    if (bytes === undefined) return undefined;
    try {
      return fromBinary(BatchSchema, bytes);
    } catch {
      return undefined;
    }
  }
}

function byGroup<T extends { readonly tenantId: bigint }>(items: readonly T[]): Map<Group, T[]> {
  return Map.groupBy(items, ({ tenantId }) => groupOf(tenantId));
}
