import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { Pool } from '../db/types.ts';
import type { Relay } from '../event/relay.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Changed } from './cache.ts';
import { chunks, type Mark, type OnlineCache } from './online-cache.ts';
import { type AudienceRow, listAudiences, type UserKey } from './sql.ts';
import type { Shown, StatusName } from './state.ts';
import { toUserPresence } from './view.ts';

type Dirty = UserKey & {
  /** As others saw the user before the first change of this round. */
  readonly before: StatusName;
  /** Whether others are told even when the status is the same. */
  readonly isTold: boolean;
  readonly shown: Shown;
  readonly at: number;
};

/**
 * Gathers changes of users for a second and passes on what they come to: who came and went in between did not
 * change. One statement finds the channels of all of them, one message tells the other instances.
 */
export class Changes {
  readonly #config: Config['presence'];
  readonly #pool: Pool;
  readonly #online: OnlineCache;
  readonly #relay: Relay;
  readonly #metrics: Metrics;
  readonly #log: Logger;
  #dirty = new Map<string, Dirty>();
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

  /** Takes a change that was made in Redis; `isTold` when others must be told of more than the status. */
  note(tenantId: bigint, userId: bigint, { before, shown, at }: Changed, isTold = false): void {
    if (before !== shown.status) this.#metrics.presenceChanges.inc();
    this.#put({ tenantId, userId, before, shown, at, isTold });
    this.#schedule();
  }

  /** Passes on what has been gathered. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#flushing;
    await this.#flush();
  }

  #put(dirty: Dirty): void {
    const key = `${dirty.tenantId}:${dirty.userId}`;
    const earlier = this.#dirty.get(key);
    if (earlier === undefined && this.#dirty.size >= this.#config.maxChanges) {
      this.#metrics.presenceFailures.inc();
      return;
    }
    const isTold = dirty.isTold || earlier?.isTold === true;
    const newer = earlier === undefined || dirty.shown.version >= earlier.shown.version ? dirty : earlier;
    this.#dirty.set(key, { ...newer, before: earlier?.before ?? dirty.before, isTold });
  }

  #schedule(): void {
    if (this.#closed || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#flushing = this.#flush().finally(() => {
        this.#timer = undefined;
        this.#flushing = undefined;
        if (this.#dirty.size > 0) this.#schedule();
      });
    }, this.#config.debounceMs);
  }

  async #flush(): Promise<void> {
    const dirty = [...this.#dirty.values()];
    this.#dirty = new Map();
    const news = dirty.filter(({ before, shown, isTold }) => isTold || before !== shown.status);
    await Promise.all([this.#mark(dirty), this.#tell(news)]);
  }

  async #mark(dirty: readonly Dirty[]): Promise<void> {
    const tenants = [...Map.groupBy(dirty, ({ tenantId }) => tenantId)];
    const there = tenants.filter(([, users]) => users.some(({ shown }) => shown.next > 0));
    const latest = dirty.reduce((last, { at }) => Math.max(last, at), 0);
    try {
      await Promise.all([
        ...tenants.map(([tenantId, users]) => this.#online.mark(tenantId, users.map(this.#toMark))),
        this.#online.noteTenants(
          there.map(([tenantId]) => tenantId),
          latest,
        ),
      ]);
    } catch (error) {
      // Streams are noted again within a minute.
      this.#metrics.presenceFailures.inc();
      this.#log.debug({ err: error }, 'users online were not noted');
    }
  }

  readonly #toMark = ({ userId, shown, at }: Dirty): Mark => ({
    userId,
    time: shown.next > 0 ? shown.next : -(at + this.#config.deviceTtlMs),
  });

  async #tell(news: readonly Dirty[]): Promise<void> {
    const { maxMembers, maxChannels } = this.#config;
    for (const some of chunks(news)) {
      try {
        const rows = await listAudiences(this.#pool, some, maxMembers, maxChannels);
        this.#publish(some, rows);
      } catch (error) {
        this.#log.warn({ err: error }, 'nobody could be told of presence; tried again');
        if (!this.#closed) for (const dirty of some) this.#putBack(dirty);
      }
    }
  }

  #putBack(dirty: Dirty): void {
    const key = `${dirty.tenantId}:${dirty.userId}`;
    const later = this.#dirty.get(key);
    if (later !== undefined)
      this.#dirty.set(key, { ...later, before: dirty.before, isTold: later.isTold || dirty.isTold });
    else this.#put(dirty);
  }

  #publish(users: readonly Dirty[], rows: readonly AudienceRow[]): void {
    const found = new Map(rows.map((row) => [`${row.tenantId}:${row.userId}`, row]));
    this.#relay.presence(
      users.map(({ tenantId, userId, shown }) => {
        const row = found.get(`${tenantId}:${userId}`);
        const user = toUserPresence(userId, shown, row);
        return {
          tenantId,
          userId,
          version: shown.version,
          channelIds: row?.channelIds ?? [],
          payload: { case: 'presence', value: { users: [user] } },
        };
      }),
    );
    this.#metrics.presenceNews.inc(users.length);
  }
}
