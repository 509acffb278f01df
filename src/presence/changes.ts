import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { Pool } from '../db/types.ts';
import type { Relay } from '../event/relay.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Changed } from './cache.ts';
import { batches, type OnlineCache, type OnlineEntry } from './online-cache.ts';
import { type AudienceRow, listAudiences, type UserKey } from './sql.ts';
import type { PresenceState, StatusName } from './state.ts';
import { toUserPresence } from './view.ts';

type PendingChange = UserKey & {
  /** Status before the first change of this interval. */
  readonly before: StatusName;
  /** Whether the change is broadcast even when the status is the same, because the text changed. */
  readonly mustNotify: boolean;
  readonly state: PresenceState;
  readonly now: number;
};

/**
 * Collects changes of users for an interval and broadcasts the result; a user who came and left within it did not
 * change. One statement finds the channels of all of them, and one message notifies the other instances.
 */
export class Changes {
  readonly #config: Config['presence'];
  readonly #pool: Pool;
  readonly #online: OnlineCache;
  readonly #relay: Relay;
  readonly #metrics: Metrics;
  readonly #log: Logger;
  #pending = new Map<string, PendingChange>();
  #timer: NodeJS.Timeout | undefined;
  #flushing: Promise<void> | undefined;
  #closed = false;

  constructor(parts: {
    config: Config['presence'];
    pool: Pool;
    online: OnlineCache;
    relay: Relay;
    metrics: Metrics;
    log: Logger;
  }) {
    this.#config = parts.config;
    this.#pool = parts.pool;
    this.#online = parts.online;
    this.#relay = parts.relay;
    this.#metrics = parts.metrics;
    this.#log = parts.log;
  }

  /** Adds a change that was made in Redis. */
  add(tenantId: bigint, userId: bigint, { before, state, now }: Changed, mustNotify = false): void {
    if (before !== state.status) this.#metrics.presenceChanges.inc();
    this.#put({ tenantId, userId, before, state, now, mustNotify });
    this.#schedule();
  }

  /** Broadcasts the pending changes. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#flushing;
    await this.#flush();
  }

  #put(change: PendingChange): void {
    const key = `${change.tenantId}:${change.userId}`;
    const earlier = this.#pending.get(key);
    if (earlier === undefined && this.#pending.size >= this.#config.maxChanges) {
      this.#metrics.presenceFailures.inc();
      return;
    }
    const mustNotify = change.mustNotify || earlier?.mustNotify === true;
    const isNewer = earlier === undefined || change.state.version >= earlier.state.version;
    const latest = isNewer ? change : earlier;
    this.#pending.set(key, { ...latest, before: earlier?.before ?? change.before, mustNotify });
  }

  #schedule(): void {
    if (this.#closed || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#flushing = this.#flush().finally(() => {
        this.#timer = undefined;
        this.#flushing = undefined;
        if (this.#pending.size > 0) this.#schedule();
      });
    }, this.#config.debounceMs);
  }

  async #flush(): Promise<void> {
    const pending = [...this.#pending.values()];
    this.#pending = new Map();
    const visible = pending.filter(({ before, state, mustNotify }) => mustNotify || before !== state.status);
    await Promise.all([this.#updateOnline(pending), this.#notify(visible)]);
  }

  async #updateOnline(pending: readonly PendingChange[]): Promise<void> {
    const tenants = [...Map.groupBy(pending, ({ tenantId }) => tenantId)];
    const withOnlineUsers = tenants.filter(([, users]) => users.some(({ state }) => state.nextChange > 0));
    const latest = pending.reduce((last, { now }) => Math.max(last, now), 0);
    try {
      await Promise.all([
        ...tenants.map(([tenantId, users]) => this.#online.update(tenantId, users.map(this.#toEntry))),
        this.#online.addTenants(
          withOnlineUsers.map(([tenantId]) => tenantId),
          latest,
        ),
      ]);
    } catch (error) {
      // The next refresh of the streams, within a minute, writes them again.
      this.#metrics.presenceFailures.inc();
      this.#log.debug({ err: error }, 'the set of online users was not updated');
    }
  }

  readonly #toEntry = ({ userId, state, now }: PendingChange): OnlineEntry => ({
    userId,
    time: state.nextChange > 0 ? state.nextChange : -(now + this.#config.deviceTtlMs),
  });

  async #notify(changes: readonly PendingChange[]): Promise<void> {
    const { maxMembers, maxChannels } = this.#config;
    for (const batch of batches(changes)) {
      try {
        const rows = await listAudiences(this.#pool, batch, maxMembers, maxChannels);
        this.#publish(batch, rows);
      } catch (error) {
        this.#log.warn({ err: error }, 'presence broadcast failed; retrying');
        if (!this.#closed) for (const change of batch) this.#requeue(change);
      }
    }
  }

  #requeue(change: PendingChange): void {
    const key = `${change.tenantId}:${change.userId}`;
    const later = this.#pending.get(key);
    if (later === undefined) this.#put(change);
    else
      this.#pending.set(key, {
        ...later,
        before: change.before,
        mustNotify: later.mustNotify || change.mustNotify,
      });
  }

  #publish(changes: readonly PendingChange[], rows: readonly AudienceRow[]): void {
    const found = new Map(rows.map((row) => [`${row.tenantId}:${row.userId}`, row]));
    this.#relay.presence(
      changes.map(({ tenantId, userId, state }) => {
        const row = found.get(`${tenantId}:${userId}`);
        const user = toUserPresence(userId, state, row);
        return {
          tenantId,
          userId,
          version: state.version,
          channelIds: row?.channelIds ?? [],
          payload: { case: 'presence', value: { users: [user] } },
        };
      }),
    );
    this.#metrics.presenceBroadcasts.inc(changes.length);
  }
}
