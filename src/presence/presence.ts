import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { Pool } from '../db/types.ts';
import type { Relay } from '../event/relay.ts';
import type { Broadcast } from '../event/subscribe/broadcast.ts';
import type { RedisClient } from '../redis/client.ts';
import { withTimeout } from '../redis/timeout.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { type Change, type Changed, createPresenceCache, type PresenceCache } from './cache.ts';
import { Changes } from './changes.ts';
import { ExpiryPoller } from './expiry-poller.ts';
import { createOnlineCache, type OnlineCache } from './online-cache.ts';
import { OpenStreams } from './open-streams.ts';
import type { StatusOverrideRow, UserKey } from './sql.ts';
import type { PresenceState, Session, StatusName } from './state.ts';
import { formatOverride, StatusOverrides } from './status-override.ts';
import type { PresenceView } from './view.ts';

// Events of a cluster's client: a node joined, left, or cannot be reached.
const NODE_EVENTS = ['+node', '-node', 'node error'];

/**
 * Presence of users, as stored in Redis. No call waits for Redis: while it is unavailable the presence of all users is
 * unknown, and for a short time after a recovery the presence of users that have not been reported again.
 */
export class Presence {
  readonly #config: Config['presence'];
  readonly #redis: RedisClient;
  readonly #broadcast: Broadcast;
  readonly #metrics: Metrics;
  readonly #log: Logger;
  readonly #cache: PresenceCache;
  readonly #online: OnlineCache;
  readonly #overrides: StatusOverrides;
  readonly #changes: Changes;
  readonly #streams: OpenStreams;
  readonly #poller: ExpiryPoller;
  #isDisconnected = false;
  #recovery: NodeJS.Timeout | undefined;
  #uncertainty: NodeJS.Timeout | undefined;
  #refreshing: NodeJS.Timeout | undefined;
  /** Whether an absent user was reported as unknown because of the uncertainty. */
  #hidAbsence = false;

  constructor(parts: {
    config: Config;
    redis: RedisClient;
    pool: Pool;
    broadcast: Broadcast;
    relay: Relay;
    metrics: Metrics;
    log: Logger;
  }) {
    const config = parts.config.presence;
    const log = parts.log.child({ part: 'presence' });
    const isReady = () => parts.redis.status === 'ready';
    this.#config = config;
    this.#redis = parts.redis;
    this.#broadcast = parts.broadcast;
    this.#metrics = parts.metrics;
    this.#log = log;
    this.#cache = createPresenceCache(parts.redis, config);
    this.#online = createOnlineCache(parts.redis, config);
    this.#overrides = new StatusOverrides(parts.pool);
    this.#changes = new Changes({ ...parts, config, online: this.#online, log });
    this.#streams = new OpenStreams({ config, apply: this.#apply, isReady });
    this.#poller = new ExpiryPoller({
      config,
      instance: parts.config.instance,
      online: this.#online,
      refresh: (tenantId, userId) => this.#apply(tenantId, userId, { operation: 'refresh' }),
      isReady,
      log,
    });
    parts.redis.on('close', this.#onDisconnect);
    parts.redis.on('ready', this.#onReconnect);
    for (const event of NODE_EVENTS) parts.redis.on(event, this.#markUncertain);
  }

  /** Makes the user of a stream online until the returned function is called. */
  open(user: UserKey, device: string, kind: string): () => void {
    return this.#streams.open(user, device, kind);
  }

  /** Applies the heartbeat of a device; returns how others see its user now. */
  heartbeat({ tenantId, userId }: UserKey, session: Session, status: StatusName): Promise<PresenceView> {
    const change = { operation: 'heartbeat', session, status } as const;
    return this.#orUnknown(this.#apply(tenantId, userId, change), 'unknown');
  }

  /** Applies a status override that has been stored in the database. */
  setOverride({ tenantId, userId }: UserKey, row: StatusOverrideRow): Promise<PresenceView> {
    const change = { operation: 'override', override: formatOverride(row) } as const;
    return this.#orUnknown(this.#apply(tenantId, userId, change), 'unknown');
  }

  /** Presence of users of a tenant as others see it, in the order of the ids. */
  async read(tenantId: bigint, userIds: readonly bigint[]): Promise<PresenceView[]> {
    const found = await this.#orUnknown(this.#cache.read(tenantId, userIds), undefined);
    if (found === undefined) return userIds.map(() => 'unknown');
    if (found.includes('failed')) this.#markUncertain();
    const isUncertain = this.#isUncertain;
    const isComplete = !this.#isUnavailable && !isUncertain;
    const views = found.map((user) =>
      user !== 'failed' && (user.isStored || isComplete) ? user.state : 'unknown',
    );
    if (isUncertain && views.includes('unknown')) this.#hidAbsence = true;
    return views;
  }

  /** False while all presence is unknown. */
  get isAvailable(): boolean {
    return !this.#isUnavailable && this.#redis.status === 'ready';
  }

  /** The users that are online; undefined while that is unknown. */
  async filterOnline(tenantId: bigint, userIds: readonly bigint[]): Promise<Set<bigint> | undefined> {
    if (this.#isUnavailable) return undefined;
    return this.#orUnknown(this.#online.filter(tenantId, userIds), undefined);
  }

  /** Number of online users of a tenant; undefined while that is unknown. */
  async count(tenantId: bigint): Promise<number | undefined> {
    if (this.#isUnavailable) return undefined;
    return this.#orUnknown(this.#online.count(tenantId), undefined);
  }

  /** Broadcasts the pending changes. Streams must have ended. */
  async close(): Promise<void> {
    this.#redis.off('close', this.#onDisconnect);
    this.#redis.off('ready', this.#onReconnect);
    for (const event of NODE_EVENTS) this.#redis.off(event, this.#markUncertain);
    for (const timer of [this.#recovery, this.#uncertainty, this.#refreshing]) clearTimeout(timer);
    await this.#poller.close();
    await this.#streams.close();
    await this.#changes.close();
  }

  get #isUnavailable(): boolean {
    return this.#isDisconnected || this.#recovery !== undefined;
  }

  get #isUncertain(): boolean {
    return this.#uncertainty !== undefined;
  }

  // A node of the cluster is or was dead. It comes back empty, and lacks the streams that have not been refreshed since.
  readonly #markUncertain = () => {
    if (this.#redis.status !== 'ready') return;
    const { recoveryMs } = this.#config;
    if (this.#uncertainty === undefined) this.#uncertainty = setTimeout(this.#endUncertainty, 3 * recoveryMs);
    else this.#uncertainty.refresh();
    this.#refreshing ??= setTimeout(() => {
      this.#refreshing = undefined;
      this.#streams.refreshAllWithin(recoveryMs);
    }, recoveryMs);
  };

  readonly #endUncertainty = () => {
    this.#uncertainty = undefined;
    if (this.#hidAbsence) this.#broadcast.reset();
    this.#hidAbsence = false;
  };

  async #change(tenantId: bigint, userId: bigint, change: Change): Promise<Changed> {
    try {
      return await this.#cache.change(tenantId, userId, change);
    } catch (error) {
      this.#markUncertain();
      throw error;
    }
  }

  readonly #apply = async (tenantId: bigint, userId: bigint, change: Change): Promise<PresenceState> => {
    let changed = await this.#change(tenantId, userId, change);
    if (changed.override === 'missing') {
      const override = await this.#overrides.read(tenantId, userId);
      changed = await this.#change(tenantId, userId, { ...change, override });
    } else if (changed.override === 'stale') {
      void this.#compareOverride(tenantId, userId);
    }
    // After Redis lost its data all users seem to come online. Streams receive a reset instead of these changes.
    const isVisible = !this.#isUnavailable;
    this.#changes.add(
      tenantId,
      userId,
      isVisible ? changed : { ...changed, before: changed.state.status },
      isVisible && change.operation === 'override',
    );
    return changed.state;
  };

  // The copy in Redis is compared now and then, because the write after a SetStatus may have failed.
  async #compareOverride(tenantId: bigint, userId: bigint): Promise<void> {
    try {
      const override = await this.#overrides.read(tenantId, userId);
      await this.#apply(tenantId, userId, { operation: 'refresh', override });
    } catch (error) {
      this.#log.debug({ err: error }, 'status override was not compared; retrying with the next refresh');
    }
  }

  async #orUnknown<T, U>(work: Promise<T>, unknown: U): Promise<T | U> {
    try {
      return await withTimeout(work, this.#config.redisTimeoutMs);
    } catch (error) {
      this.#metrics.presenceFailures.inc();
      this.#log.debug({ err: error }, 'presence is unknown');
      return unknown;
    }
  }

  readonly #onDisconnect = () => {
    if (this.#isDisconnected) return;
    this.#isDisconnected = true;
    clearTimeout(this.#recovery);
    this.#recovery = undefined;
    this.#broadcast.reset();
  };

  readonly #onReconnect = () => {
    if (!this.#isDisconnected) return;
    this.#isDisconnected = false;
    // The recovery covers what was uncertain before it.
    clearTimeout(this.#uncertainty);
    this.#uncertainty = undefined;
    clearTimeout(this.#refreshing);
    this.#refreshing = undefined;
    this.#hidAbsence = false;
    const { recoveryMs } = this.#config;
    this.#streams.refreshAllWithin(recoveryMs / 2);
    this.#recovery = setTimeout(() => {
      this.#recovery = undefined;
      this.#broadcast.reset();
    }, recoveryMs);
  };
}
