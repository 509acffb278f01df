import type { Report } from '../run.ts';

/** Of faults that are no reason to end a stream. */
export function streamsStayed({ reconnects }: Report): string[] {
  return reconnects === 0 ? [] : [`${reconnects} streams broke`];
}
