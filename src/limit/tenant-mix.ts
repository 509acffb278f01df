const REMEMBER_MS = 10_000;

/** Whether calls of more than one tenant arrived in the last seconds. */
export class TenantMix {
  #last = -1n;
  #mixedUntil = Number.NEGATIVE_INFINITY;

  observe(tenantId: bigint): void {
    if (tenantId === this.#last) return;
    if (this.#last >= 0n) this.#mixedUntil = performance.now() + REMEMBER_MS;
    this.#last = tenantId;
  }

  get isMixed(): boolean {
    return performance.now() < this.#mixedUntil;
  }
}
