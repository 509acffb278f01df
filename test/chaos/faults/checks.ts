import type { Report } from '../run.ts';

/** For faults that must not end a stream. */
export function noStreamBroke({ reconnects }: Report): string[] {
  return reconnects === 0 ? [] : [`${reconnects} streams broke`];
}
