import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { OnlineCache } from './online-cache.ts';

const TENANTS_AT_ONCE = 200;

/**
 * Finds those whose presence has changed by itself: the grace time of a closed stream is over, an instance died
 * without a word, a status chosen for a time has ended. One instance at a time does it, for all tenants, and counts
 * who is online.
 */
export class ExpiryPoller {
  readonly #config: Config['presence'];
  readonly #instance: string;
  readonly #online: OnlineCache;
  readonly #look: (tenantId: bigint, userId: bigint) => Promise<unknown>;
  readonly #isReady: () => boolean;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(parts: {
    config: Config['presence'];
    instance: string;
    online: OnlineCache;
    look: (tenantId: bigint, userId: bigint) => Promise<unknown>;
    isReady: () => boolean;
    log: Logger;
  }) {
    this.#config = parts.config;
    this.#instance = parts.instance;
    this.#online = parts.online;
    this.#look = parts.look;
    this.#isReady = parts.isReady;
    this.#log = parts.log;
    this.#schedule();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  // Not all instances at the same moment, so that the one that sweeps is soon followed when it dies.
  #schedule(): void {
    if (this.#closed) return;
    const pauseMs = this.#config.pollMs * (0.75 + Math.random() / 2);
    this.#timer = setTimeout(() => {
      this.#running = this.#run().finally(() => this.#schedule());
    }, pauseMs);
  }

  async #run(): Promise<void> {
    if (!this.#isReady()) return;
    try {
      if (!(await this.#online.mayLead(this.#instance, Math.ceil(this.#config.pollMs * 0.75)))) return;
      await this.#sweep();
    } catch (error) {
      if (!this.#closed) this.#log.debug({ err: error }, 'presence could not be swept; next try in a moment');
    }
  }

  async #sweep(): Promise<void> {
    const tenants = await this.#online.listTenants(Date.now());
    let online = 0;
    for (let from = 0; from < tenants.length && !this.#closed; from += TENANTS_AT_ONCE) {
      const some = tenants.slice(from, from + TENANTS_AT_ONCE);
      const counts = await Promise.allSettled(some.map((tenantId) => this.#sweepTenant(tenantId)));
      for (const count of counts) if (count.status === 'fulfilled') online += count.value;
    }
    await this.#online.setTotal(online);
  }

  // Those claimed are due no more, so that this ends even where looking fails.
  async #sweepTenant(tenantId: bigint): Promise<number> {
    for (;;) {
      const { online, due } = await this.#online.claim(tenantId);
      await Promise.allSettled(due.map((userId) => this.#look(tenantId, userId)));
      if (due.length === 0) return online;
    }
  }
}
