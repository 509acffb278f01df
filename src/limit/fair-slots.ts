import { type Waiter, wait } from '../db/waiter.ts';
import type { Caller } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import type { ScheduledCall, Slots } from '../rpc/interceptors/schedule.ts';
import { TurnBudget } from '../rpc/turn-budget.ts';
import type { TenantMix } from './tenant-mix.ts';

// Parts of all slots: what a tenant can have alone and beside others, and each of its users.
const LONE_TENANT_PART = 2;
const TENANT_PART = 4;
const USER_PART = 8;
const RETRY_MS = 1_000;
// Calls that are rejected as soon as they have a slot, such as those of a client that does not read, start the next one each.
const TURN_MS = 1;
// Of the time that the last call of a lagging user took: the time until the next one starts, and its maximum, because other
// clients of the user wait, too.
const LAGGING_PAUSE = 16;
const MAX_PAUSE_MS = 250;

type UserId = { readonly tenantId: bigint; readonly userId: bigint };
type Options = {
  /** Whether a user does not read the responses in time, and so has one call at a time, with pauses. */
  readonly isLagging?: (user: UserId) => boolean;
  /** Called with the number of waiting calls when it changes. */
  readonly observe?: (waiting: number) => void;
};

/** A user with calls. */
type User = {
  readonly id: bigint;
  readonly tenant: Tenant;
  running: number;
  readonly waiting: Set<Waiter<void>>;
  /** When its last call started. */
  startTime: number;
  /** Whether the next one has to wait. */
  isPaused: boolean;
};
/** A tenant with calls. `turns`: its users with waiting calls, in the order of their turns. */
type Tenant = {
  readonly id: bigint;
  running: number;
  waiting: number;
  readonly users: Map<bigint, User>;
  readonly turns: Map<bigint, User>;
};

const IDLE = { running: 0, startTime: 0, isPaused: false };

/** How many calls run at a time: of a tenant while it makes all calls, or beside others, and of a user. */
export function sharesOf(slots: number) {
  const part = (count: number) => Math.ceil(slots / count);
  return { loneTenant: part(LONE_TENANT_PART), tenant: part(TENANT_PART), user: part(USER_PART) };
}

/**
 * A number of calls that run at a time; others wait. Tenants have turns, and in each tenant its users, and each of them has at
 * most a share of the slots. So the calls of one that makes many of them wait for each other, and others nearly not.
 */
export class FairSlots implements Slots {
  readonly #shares: ReturnType<typeof sharesOf>;
  readonly #mix: TenantMix;
  readonly #maxWaiting: number;
  readonly #isLagging: NonNullable<Options['isLagging']>;
  readonly #observe: NonNullable<Options['observe']>;
  readonly #tenants = new Map<bigint, Tenant>();
  /** Tenants with waiting calls, in the order of their turns. */
  readonly #turns = new Map<bigint, Tenant>();
  readonly #turn = new TurnBudget(TURN_MS);
  #isResuming = false;
  #free: number;
  #waiting = 0;

  constructor(
    slots: number,
    maxWaiting: number,
    mix: TenantMix,
    { isLagging = () => false, observe = () => {} }: Options = {},
  ) {
    this.#free = slots;
    this.#shares = sharesOf(slots);
    this.#mix = mix;
    this.#maxWaiting = maxWaiting;
    this.#isLagging = isLagging;
    this.#observe = observe;
  }

  acquire(call: ScheduledCall): Promise<void> | undefined {
    const { tenantId, userId } = call.caller;
    const tenant = this.#tenants.get(tenantId);
    if (this.#hasSlotFor(tenant?.running ?? 0) && this.#mayRun(call.caller, tenant?.users.get(userId))) {
      this.#run(this.#userOf(call.caller));
      return undefined;
    }
    return wait(
      call.signal,
      (waiter) => this.#add(this.#userOf(call.caller), waiter),
      (waiter) => this.#remove(this.#userOf(call.caller), waiter),
    );
  }

  release(caller: Caller): void {
    const user = this.#userOf(caller);
    this.#free += 1;
    user.tenant.running -= 1;
    user.running -= 1;
    if (this.#isLagging(caller)) this.#pause(user);
    this.#forgetIdle(user);
    this.startWaiting();
  }

  /** To be called when a user does not lag any more. */
  startWaiting(): void {
    while (this.#waiting > 0 && this.#free > 0) {
      if (!this.#turn.hasTime) {
        this.#resumeLater();
        return;
      }
      if (!this.#startNext()) return;
    }
  }

  #resumeLater(): void {
    if (this.#isResuming) return;
    this.#isResuming = true;
    // A turn later, in which others have been served.
    setImmediate(() => {
      this.#isResuming = false;
      this.startWaiting();
    });
  }

  #pause(user: User): void {
    if (user.isPaused) return;
    const resume = () => {
      user.isPaused = false;
      this.#forgetIdle(user);
      this.startWaiting();
    };
    user.isPaused = true;
    const tookMs = performance.now() - user.startTime;
    setTimeout(resume, Math.min(LAGGING_PAUSE * tookMs, MAX_PAUSE_MS)).unref();
  }

  #hasSlotFor(runningOfTenant: number): boolean {
    if (this.#free === 0 || runningOfTenant >= this.#shares.loneTenant) return false;
    return runningOfTenant < this.#shares.tenant || !this.#mix.isMixed;
  }

  // A service that acts for no user has the share of its tenant.
  #mayRun(caller: UserId, { running, isPaused } = IDLE): boolean {
    if ((isPaused || running > 0) && this.#isLagging(caller)) return false;
    return caller.userId === 0n || running < this.#shares.user;
  }

  #run(user: User): void {
    this.#free -= 1;
    user.tenant.running += 1;
    user.running += 1;
    user.startTime = performance.now();
  }

  /** Starts the oldest call of the user whose turn it is; returns false when no call may run. */
  #startNext(): boolean {
    for (const tenant of this.#turns.values()) {
      if (!this.#hasSlotFor(tenant.running)) continue;
      for (const user of tenant.turns.values()) {
        const caller = { tenantId: tenant.id, userId: user.id };
        const [next] = this.#mayRun(caller, user) ? user.waiting : [];
        if (next === undefined) continue;
        // Their next turn is after those of the others.
        this.#turns.delete(tenant.id);
        this.#turns.set(tenant.id, tenant);
        tenant.turns.delete(user.id);
        tenant.turns.set(user.id, user);
        this.#run(user);
        this.#remove(user, next);
        next.start();
        return true;
      }
    }
    return false;
  }

  #add(user: User, waiter: Waiter<void>): void {
    const { tenant } = user;
    this.#turns.set(tenant.id, tenant);
    tenant.turns.set(user.id, user);
    user.waiting.add(waiter);
    this.#count(tenant, 1);
    if (this.#waiting > this.#maxWaiting)
      this.#newest()?.reject(errors.overloaded('too many calls are waiting', this.#maxWaiting, RETRY_MS));
  }

  #remove(user: User, waiter: Waiter<void>): void {
    const { tenant } = user;
    if (!user.waiting.delete(waiter)) return;
    if (user.waiting.size === 0) tenant.turns.delete(user.id);
    if (tenant.turns.size === 0) this.#turns.delete(tenant.id);
    this.#count(tenant, -1);
    this.#forgetIdle(user);
  }

  #count(tenant: Tenant, change: 1 | -1): void {
    tenant.waiting += change;
    this.#waiting += change;
    this.#observe(this.#waiting);
  }

  /** The newest call of the user with the most waiting calls in the tenant with the most. */
  #newest(): Waiter<void> | undefined {
    const tenant = longest(this.#turns.values(), ({ waiting }) => waiting);
    const user = tenant && longest(tenant.turns.values(), ({ waiting }) => waiting.size);
    return user && [...user.waiting].at(-1);
  }

  #userOf({ tenantId, userId }: Caller): User {
    let tenant = this.#tenants.get(tenantId);
    if (tenant === undefined) {
      tenant = { id: tenantId, running: 0, waiting: 0, users: new Map(), turns: new Map() };
      this.#tenants.set(tenantId, tenant);
    }
    let user = tenant.users.get(userId);
    if (user === undefined) {
      user = { id: userId, tenant, ...IDLE, waiting: new Set() };
      tenant.users.set(userId, user);
    }
    return user;
  }

  #forgetIdle({ id, tenant, running, waiting, isPaused }: User): void {
    if (running > 0 || waiting.size > 0 || isPaused) return;
    tenant.users.delete(id);
    if (tenant.users.size === 0) this.#tenants.delete(tenant.id);
  }
}

function longest<T>(items: Iterable<T>, lengthOf: (item: T) => number): T | undefined {
  let [found, most]: [T | undefined, number] = [undefined, 0];
  for (const item of items) {
    const length = lengthOf(item);
    // Of equals the last, which began to wait last.
    if (length >= most) [found, most] = [item, length];
  }
  return found;
}
