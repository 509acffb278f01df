/**
 * Options of Node's HTTP/2 servers. nghttp2 ends a connection, with the streams of all its callers, when its client resets
 * more streams than this. Resets are limited by caller instead, see CancelledCalls, and by connection where the caller is
 * not authenticated. An instance does not serve as many calls.
 */
export const nghttp2ResetLimits = { streamResetBurst: 20_000, streamResetRate: 2_000 };

// Node's defaults for its own limit of reset streams.
const RESET_BURST = 1_000;
const RESETS_PER_SECOND = 33;

/** Counts the streams of one connection that are reset before their caller is authenticated. */
export class ResetLimit {
  #resets = 0;
  #resetTime = 0;

  /** Counts a reset; returns whether the connection is above the limit. */
  exceeds(): boolean {
    const now = performance.now();
    const forgotten = ((now - this.#resetTime) / 1_000) * RESETS_PER_SECOND;
    this.#resets = Math.max(0, this.#resets - forgotten) + 1;
    this.#resetTime = now;
    return this.#resets > RESET_BURST;
  }
}
