import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { OnlineCache } from './online-cache.ts';

const TENANTS_AT_ONCE = 200;

/**
 * Finds users whose presence changed without a call: the grace time of a closed stream ended, an instance died, or a
 * status override expired. One instance at a time polls, for all tenants, and counts the online users.
 */
export class ExpiryPoller {
  readonly #config: Config['presence'];
  readonly #instance: string;
  readonly #online: OnlineCache;
  readonly #refresh: (tenantId: bigint, userId: bigint) => Promise<unknown>;
  readonly #isReady: () => boolean;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(parts: {
    config: Config['presence'];
    instance: string;
    online: OnlineCache;
    refresh: (tenantId: bigint, userId: bigint) => Promise<unknown>;
    isReady: () => boolean;
    log: Logger;
  }) {
    this.#config = parts.config;
    this.#instance = parts.instance;
    this.#online = parts.online;
    this.#refresh = parts.refresh;
    this.#isReady = parts.isReady;
    this.#log = parts.log;
    this.#schedule();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  // Instances poll at different moments, so that another one soon takes over when the polling instance dies.
  #schedule(): void {
    if (this.#closed) return;
    const delayMs = this.#config.pollMs * (0.75 + Math.random() / 2);
    this.#timer = setTimeout(() => {
      this.#running = this.#run().finally(() => this.#schedule());
    }, delayMs);
  }

  async #run(): Promise<void> {
    if (!this.#isReady()) return;
    try {
      const leaseMs = Math.ceil(this.#config.pollMs * 0.75);
      if (await this.#online.acquirePollerLease(this.#instance, leaseMs)) await this.#poll();
    } catch (error) {
      if (!this.#closed) this.#log.debug({ err: error }, 'poll for expired presence failed; retrying');
    }
  }

  async #poll(): Promise<void> {
    const tenants = await this.#online.listTenants(Date.now());
    let online = 0;
    for (let from = 0; from < tenants.length && !this.#closed; from += TENANTS_AT_ONCE) {
      const batch = tenants.slice(from, from + TENANTS_AT_ONCE);
      const counts = await Promise.allSettled(batch.map((tenantId) => this.#pollTenant(tenantId)));
      for (const count of counts) if (count.status === 'fulfilled') online += count.value;
    }
    await this.#online.setTotal(online);
  }

  // A claim moves users to the end of its lease, so that this loop ends even where refreshes fail.
  async #pollTenant(tenantId: bigint): Promise<number> {
    for (;;) {
      const { online, expired } = await this.#online.claimExpired(tenantId);
      await Promise.allSettled(expired.map((userId) => this.#refresh(tenantId, userId)));
      if (expired.length === 0) return online;
    }
  }
}
