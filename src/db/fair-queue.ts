/**
 * Work that waits, by tenant. Tenants take turns, each with its oldest work, however much of it one has; and when
 * the queue is full, the tenant with the most in it gives way.
 */
export class FairQueue<T> {
  // In the order of their turns; none is empty.
  readonly #tenants = new Map<bigint, Set<T>>();
  readonly #limit: number;
  #size = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#size;
  }

  /** Takes work in. Returns what had no room: that work, or the newest of the tenant with the most; else undefined. */
  push(tenantId: bigint, work: T): T | undefined {
    const loser = this.#size < this.#limit ? undefined : this.#longest(tenantId);
    if (loser === tenantId) return work;
    const dropped = loser === undefined ? undefined : [...(this.#tenants.get(loser) ?? [])].at(-1);
    if (loser !== undefined && dropped !== undefined) this.delete(loser, dropped);
    this.#tenants.set(tenantId, (this.#tenants.get(tenantId) ?? new Set()).add(work));
    this.#size += 1;
    return dropped;
  }

  /** The oldest work of the tenant whose turn it is. */
  shift(): T | undefined {
    for (const [tenantId, waiting] of this.#tenants) {
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

  // The newcomer's own when none has more than that would have.
  #longest(newcomer: bigint): bigint {
    let [longest, most] = [newcomer, (this.#tenants.get(newcomer)?.size ?? 0) + 1];
    for (const [tenantId, { size }] of this.#tenants) if (size > most) [longest, most] = [tenantId, size];
    return longest;
  }
}
