import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { Pool } from '../db/types.ts';
import type { Relay } from '../event/relay.ts';
import type { Broadcast } from '../event/subscribe/broadcast.ts';
import type { RedisClient } from '../redis/client.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { type Change, type Changed, createPresenceCache, type PresenceCache } from './cache.ts';
import { Changes } from './changes.ts';
import { ExpiryPoller } from './expiry-poller.ts';
import { createOnlineCache, type OnlineCache } from './online-cache.ts';
import type { ChosenRow, UserKey } from './sql.ts';
import type { Session, Shown, StatusName } from './state.ts';
import { StatusOverrides, toStatusOverride } from './status-override.ts';
import { PresentStreams } from './streams.ts';
import type { PresenceView } from './view.ts';

// Of a cluster's client: a node came, went, or cannot be reached.
const NODE_EVENTS = ['+node', '-node', 'node error'];

/**
 * Who is there, as Redis has it. Nothing waits for Redis: while it is away everybody's presence is unknown, and for a
 * moment after that the presence of those it has not been told of again.
 */
export class Presence {
  readonly #config: Config['presence'];
  readonly #redis: RedisClient;
  readonly #broadcast: Broadcast;
  readonly #metrics: Metrics;
  readonly #log: Logger;
  readonly #cache: PresenceCache;
  readonly #online: OnlineCache;
  readonly #choices: StatusOverrides;
  readonly #changes: Changes;
  readonly #streams: PresentStreams;
  readonly #sweeper: ExpiryPoller;
  #away = false;
  #doubtUntil = 0;
  #telling: NodeJS.Timeout | undefined;
  #settling: NodeJS.Timeout | undefined;

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
    this.#choices = new StatusOverrides(parts.pool);
    this.#changes = new Changes({ ...parts, config, online: this.#online, log });
    this.#streams = new PresentStreams({ config, apply: this.#apply, isReady });
    this.#sweeper = new ExpiryPoller({
      config,
      instance: parts.config.instance,
      online: this.#online,
      look: (tenantId, userId) => this.#apply(tenantId, userId, { op: 'look' }),
      isReady,
      log,
    });
    parts.redis.on('close', this.#lose);
    parts.redis.on('ready', this.#regain);
    for (const event of NODE_EVENTS) parts.redis.on(event, this.#doubt);
  }

  /** Makes the user of a stream present until the returned function is called. */
  open(user: UserKey, device: string, kind: string): () => void {
    return this.#streams.open(user, device, kind);
  }

  /** Takes a device's word; how others see its user now. */
  beat({ tenantId, userId }: UserKey, session: Session, status: StatusName): Promise<PresenceView> {
    return this.#inTime(this.#apply(tenantId, userId, { op: 'beat', session, status }), 'unknown');
  }

  /** Takes what a user chose, once it is kept in the database. */
  choose({ tenantId, userId }: UserKey, chosen: ChosenRow): Promise<PresenceView> {
    return this.#inTime(
      this.#apply(tenantId, userId, { op: 'choose', choice: toStatusOverride(chosen) }),
      'unknown',
    );
  }

  /** How others see users of a tenant, in the order asked. */
  async read(tenantId: bigint, userIds: readonly bigint[]): Promise<PresenceView[]> {
    const found = await this.#inTime(this.#cache.read(tenantId, userIds), undefined);
    if (found === undefined) return userIds.map(() => 'unknown');
    if (found.includes('failed')) this.#doubt();
    const isWhole = !this.#unsettled && !this.#isDoubtful;
    return found.map((one) => (one !== 'failed' && (one.known || isWhole) ? one.shown : 'unknown'));
  }

  /** Whether it makes sense to ask. */
  get isKnown(): boolean {
    return !this.#unsettled && this.#redis.status === 'ready';
  }

  /** Those of the users who are there; undefined while that is unknown. */
  async filterOnline(tenantId: bigint, userIds: readonly bigint[]): Promise<Set<bigint> | undefined> {
    if (this.#unsettled) return undefined;
    return this.#inTime(this.#online.filter(tenantId, userIds), undefined);
  }

  /** How many users of a tenant are there; undefined while that is unknown. */
  async count(tenantId: bigint): Promise<number | undefined> {
    if (this.#unsettled) return undefined;
    return this.#inTime(this.#online.count(tenantId), undefined);
  }

  /** Passes on what was noted. Streams must have ended. */
  async close(): Promise<void> {
    this.#redis.off('close', this.#lose);
    this.#redis.off('ready', this.#regain);
    for (const event of NODE_EVENTS) this.#redis.off(event, this.#doubt);
    clearTimeout(this.#settling);
    clearTimeout(this.#telling);
    await this.#sweeper.close();
    await this.#streams.close();
    await this.#changes.close();
  }

  get #unsettled(): boolean {
    return this.#away || this.#settling !== undefined;
  }

  // A node of the cluster is dead, or was: it comes back empty, and streams that were not due do not know.
  get #isDoubtful(): boolean {
    return Date.now() < this.#doubtUntil;
  }

  readonly #doubt = () => {
    if (this.#redis.status !== 'ready') return;
    const { recoveryMs } = this.#config;
    this.#doubtUntil = Date.now() + 3 * recoveryMs;
    this.#telling ??= setTimeout(() => {
      this.#telling = undefined;
      this.#streams.tellAllWithin(recoveryMs);
    }, recoveryMs);
  };

  async #change(tenantId: bigint, userId: bigint, change: Change): Promise<Changed> {
    try {
      return await this.#cache.change(tenantId, userId, change);
    } catch (error) {
      this.#doubt();
      throw error;
    }
  }

  readonly #apply = async (tenantId: bigint, userId: bigint, change: Change): Promise<Shown> => {
    let changed = await this.#change(tenantId, userId, change);
    if (changed.choice === 'none') {
      const choice = await this.#choices.read(tenantId, userId);
      changed = await this.#change(tenantId, userId, { ...change, choice });
    } else if (changed.choice === 'old') {
      void this.#compare(tenantId, userId);
    }
    // After Redis has forgotten everybody, everybody seems to come; streams are told to ask for all instead.
    const isNews = !this.#unsettled;
    this.#changes.note(
      tenantId,
      userId,
      isNews ? changed : { ...changed, before: changed.shown.status },
      isNews && change.op === 'choose',
    );
    return changed.shown;
  };

  // The copy of what a user chose is compared now and then, for it may have been missed when it was made.
  async #compare(tenantId: bigint, userId: bigint): Promise<void> {
    try {
      const choice = await this.#choices.read(tenantId, userId);
      await this.#apply(tenantId, userId, { op: 'look', choice });
    } catch (error) {
      this.#log.debug({ err: error }, 'a chosen status was not compared; tried again with the next refresh');
    }
  }

  async #inTime<T, U>(work: Promise<T>, otherwise: U): Promise<T | U> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<U>((resolve) => {
      timer = setTimeout(() => resolve(otherwise), this.#config.redisTimeoutMs);
    });
    try {
      return await Promise.race([work, late]);
    } catch (error) {
      this.#metrics.presenceFailures.inc();
      this.#log.debug({ err: error }, 'presence is unknown');
      return otherwise;
    } finally {
      clearTimeout(timer);
    }
  }

  readonly #lose = () => {
    if (this.#away) return;
    this.#away = true;
    clearTimeout(this.#settling);
    this.#settling = undefined;
    this.#broadcast.reset();
  };

  readonly #regain = () => {
    if (!this.#away) return;
    this.#away = false;
    this.#streams.tellAllWithin(this.#config.recoveryMs / 2);
    this.#settling = setTimeout(() => {
      this.#settling = undefined;
      this.#broadcast.reset();
    }, this.#config.recoveryMs);
  };
}
