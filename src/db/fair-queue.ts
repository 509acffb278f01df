/**
 * A queue that serves tenants in turn, each with its oldest work, so that one with much work delays the others
 * little. When it is full, the newest work of the tenant with the most queued work is dropped.
 */
export class FairQueue<T> {
  // In the order of their turns; no set is empty.
  readonly #tenants = new Map<bigint, Set<T>>();
  readonly #limit: number;
  #size = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#size;
  }

  /** Whether work of the tenant is waiting. */
  has(tenantId: bigint): boolean {
    return this.#tenants.has(tenantId);
  }

  /** Returns the work that was dropped: the given work, the newest of the tenant with the most, or undefined. */
  push(tenantId: bigint, work: T): T | undefined {
    const victim = this.#size < this.#limit ? undefined : this.#longest(tenantId);
    if (victim === tenantId) return work;
    const dropped = victim === undefined ? undefined : [...(this.#tenants.get(victim) ?? [])].at(-1);
    if (victim !== undefined && dropped !== undefined) this.delete(victim, dropped);
    this.#tenants.set(tenantId, (this.#tenants.get(tenantId) ?? new Set()).add(work));
    this.#size += 1;
    return dropped;
  }

  /** The oldest work of the tenant whose turn it is, of those that may have one. */
  shift(mayHave: (tenantId: bigint) => boolean = () => true): T | undefined {
    for (const [tenantId, waiting] of this.#tenants) {
      if (!mayHave(tenantId)) continue;
      this.#tenants.delete(tenantId);
      for (const work of waiting) {
        waiting.delete(work);
        this.#size -= 1;
        if (waiting.size > 0) this.#tenants.set(tenantId, waiting);
        return work;
      }
    }
    return undefined;
  }

  delete(tenantId: bigint, work: T): void {
    const waiting = this.#tenants.get(tenantId);
    if (waiting?.delete(work) !== true) return;
    this.#size -= 1;
    if (waiting.size === 0) this.#tenants.delete(tenantId);
  }

  /** Removes work of the tenant; returns it from the oldest to the newest. */
  removeAll(tenantId: bigint, isRemoved: (work: T) => boolean): T[] {
    const removed = [...(this.#tenants.get(tenantId) ?? [])].filter(isRemoved);
    for (const work of removed) this.delete(tenantId, work);
    return removed;
  }

  // The given tenant itself when no other has more than it would have.
  #longest(tenantOfNew: bigint): bigint {
    let [longest, most] = [tenantOfNew, (this.#tenants.get(tenantOfNew)?.size ?? 0) + 1];
    for (const [tenantId, { size }] of this.#tenants) if (size > most) [longest, most] = [tenantId, size];
    return longest;
  }
}
