import { FairQueue } from '../db/fair-queue.ts';
import type { Caller } from '../rpc/call.ts';
import type { TenantMix } from './tenant-mix.ts';

// Each is some 0.2 ms of work until the call waits for something.
const CALLS_PER_TURN = 4;

/**
 * Spreads calls that arrive together over turns of the event loop, tenant by tenant, so that the calls of others that arrive
 * meanwhile are served between them. While all calls are of one tenant they start at once, and form larger batches.
 */
export class Pacer {
  readonly #mix: TenantMix;
  readonly #waiting = new FairQueue<() => void>(Number.POSITIVE_INFINITY);
  #started = 0;
  #isScheduled = false;

  constructor(mix: TenantMix) {
    this.#mix = mix;
  }

  /** Undefined when the call can start in this turn. */
  enter({ tenantId }: Caller): Promise<void> | undefined {
    this.#mix.observe(tenantId);
    if (!this.#isScheduled) {
      this.#isScheduled = true;
      setImmediate(() => this.#nextTurn());
    }
    if (this.#waiting.size === 0 && (this.#started < CALLS_PER_TURN || !this.#mix.isMixed)) {
      this.#started += 1;
      return undefined;
    }
    return new Promise((resolve) => this.#waiting.push(tenantId, resolve));
  }

  #nextTurn(): void {
    this.#started = Math.min(CALLS_PER_TURN, this.#waiting.size);
    for (let count = this.#started; count > 0; count -= 1) this.#waiting.shift()?.();
    this.#isScheduled = this.#started > 0;
    if (this.#isScheduled) setImmediate(() => this.#nextTurn());
  }
}
