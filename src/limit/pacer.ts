import { FairQueue } from '../db/fair-queue.ts';
import { errors } from '../rpc/errors.ts';
import type { ScheduledCall } from '../rpc/interceptors/schedule.ts';
import type { TenantMix } from './tenant-mix.ts';

// Each is some 0.2 ms of work until the call waits for something.
const CALLS_PER_TURN = 4;
// Of more waiting calls, a part enters in each turn: turns are long on a busy machine, and no call may wait for many of them.
const PART_PER_TURN = 1 / 16;
// Tenants of which some calls enter without waiting for the turn to end, and how many.
const TENANTS_PER_TURN = 16;
const FIRST_CALLS = 3;

const RETRY_MS = 1_000;

type WaitingCall = {
  readonly call: ScheduledCall;
  readonly enter: () => void;
  readonly reject: (error: unknown) => void;
};

/**
 * Spreads calls that arrive together over turns of the event loop, tenant by tenant, so that the calls of others that arrive
 * meanwhile are served between them. The first calls of a tenant in a turn do not wait for it to end. While all calls are of one tenant they start at once, and form larger batches.
 */
export class Pacer {
  readonly #mix: TenantMix;
  readonly #maxWaiting: number;
  readonly #waiting: FairQueue<WaitingCall>;
  /** Calls of each tenant that have started in this turn, without those that had to wait. */
  readonly #startedByTenant = new Map<bigint, number>();
  #started = 0;
  #isScheduled = false;

  /** Of more than `maxWaiting` waiting calls, the newest of the tenant with the most is rejected. */
  constructor(mix: TenantMix, maxWaiting: number) {
    this.#mix = mix;
    this.#maxWaiting = maxWaiting;
    this.#waiting = new FairQueue(maxWaiting);
  }

  /** Undefined when the call can start in this turn. */
  enter(call: ScheduledCall): Promise<void> | undefined {
    const { tenantId } = call.caller;
    this.#mix.observe(tenantId);
    if (!this.#isScheduled) {
      this.#isScheduled = true;
      setImmediate(() => this.#nextTurn());
    }
    if (this.#mayStart(tenantId)) {
      this.#started += 1;
      this.#startedByTenant.set(tenantId, this.#startedOf(tenantId) + 1);
      return undefined;
    }
    return new Promise((enter, reject) => {
      const dropped = this.#waiting.push(tenantId, { call, enter, reject });
      dropped?.reject(errors.overloaded('too many calls are waiting', this.#maxWaiting, RETRY_MS));
    });
  }

  #mayStart(tenantId: bigint): boolean {
    if (this.#waiting.size === 0 && (this.#started < CALLS_PER_TURN || !this.#mix.isMixed)) return true;
    const started = this.#startedOf(tenantId);
    if (started >= FIRST_CALLS || this.#waiting.has(tenantId)) return false;
    return started > 0 || this.#startedByTenant.size < TENANTS_PER_TURN;
  }

  #startedOf(tenantId: bigint): number {
    return this.#startedByTenant.get(tenantId) ?? 0;
  }

  #nextTurn(): void {
    const limit = Math.max(CALLS_PER_TURN, Math.ceil(this.#waiting.size * PART_PER_TURN));
    this.#isScheduled = this.#waiting.size > 0;
    this.#started = 0;
    this.#startedByTenant.clear();
    while (this.#started < limit) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      // One that has ended, as at its deadline, costs nothing more.
      if (next.call.ended === undefined) this.#started += 1;
      next.enter();
    }
    if (this.#isScheduled) setImmediate(() => this.#nextTurn());
  }
}
