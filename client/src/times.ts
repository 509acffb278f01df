/** Milliseconds since the epoch of a timestamp in JSON, such as `2026-11-27T08:30:00.250Z`. */
export function timestampMs(timestamp: string): number {
  return Date.parse(timestamp);
}

/** Milliseconds of a duration in JSON, such as `1.5s`. */
export function durationMs(duration: string): number {
  return Number.parseFloat(duration) * 1_000;
}
