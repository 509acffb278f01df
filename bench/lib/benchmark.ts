import type { Measurement } from './measure.ts';
import type { Stack } from './stack.ts';

export const SUBJECTS = [
  'send',
  'fanout',
  'read',
  'reaction',
  'retention',
  'search',
  'presence',
  'limit',
  'attachment',
  'growth',
] as const;

/** What a figure should reach: its ratio to the baseline, or its value in the figure's unit. */
export type Goal = {
  readonly of: 'ratio' | 'value';
  readonly bound: 'at least' | 'at most';
  readonly limit: number;
};

export type Benchmark = {
  readonly name: string;
  /** The folder it is in; a run may name it. */
  readonly subject: (typeof SUBJECTS)[number];
  /** Part of a run without names, which takes less than five minutes. */
  readonly isHeadline: boolean;
  /** By the figure's name. A figure without a goal is only reported. */
  readonly goals: Readonly<Record<string, Goal>>;
  readonly run: (stack: Stack) => Promise<Measurement[]>;
};

export function ratioAtLeast(limit: number): Goal {
  return { of: 'ratio', bound: 'at least', limit };
}

export function ratioAtMost(limit: number): Goal {
  return { of: 'ratio', bound: 'at most', limit };
}

export function valueAtLeast(limit: number): Goal {
  return { of: 'value', bound: 'at least', limit };
}

export function valueAtMost(limit: number): Goal {
  return { of: 'value', bound: 'at most', limit };
}

export function isMet({ of, bound, limit }: Goal, measurement: Measurement): boolean {
  const reached = measurement[of];
  return bound === 'at least' ? reached >= limit : reached <= limit;
}
