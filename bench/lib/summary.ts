import { type Benchmark, type Goal, isMet } from './benchmark.ts';
import type { Measurement } from './measure.ts';

const HEADINGS = ['figure', 'value', 'baseline', 'unit', 'ratio', 'goal', 'result'];
/** Columns of numbers are aligned on the right. */
const NUMERIC = new Set([1, 2, 4]);

export type Outcome = {
  readonly benchmark: Benchmark;
  /** undefined: it failed. */
  readonly measurements: readonly Measurement[] | undefined;
  readonly seconds: number;
};

/** A table of all figures with their goals, and a line with the totals. */
export function toSummary(outcomes: readonly Outcome[]): string {
  const rows = outcomes.flatMap(({ benchmark, measurements }) =>
    measurements === undefined
      ? [[benchmark.name, '', '', '', '', '', 'failed']]
      : measurements.map((measurement) => toRow(benchmark.goals[measurement.name], measurement)),
  );
  const widths = HEADINGS.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const rule = widths.map((width) => '-'.repeat(width));
  const lines = [HEADINGS, rule, ...rows].map((row) => toLine(row, widths));
  return [...lines, '', toTotals(outcomes, rows)].join('\n');
}

function toRow(goal: Goal | undefined, measurement: Measurement): string[] {
  const { name, value, baseline, unit, ratio } = measurement;
  const result = goal === undefined ? 'no goal' : isMet(goal, measurement) ? 'met' : 'MISSED';
  return [name, `${value}`, `${baseline}`, unit, `${ratio}`, toText(goal, unit), result];
}

function toText(goal: Goal | undefined, unit: string): string {
  if (goal === undefined) return '';
  const { of, bound, limit } = goal;
  return `${of} ${bound} ${limit}${of === 'value' ? ` ${unit}` : ''}`;
}

function toLine(cells: readonly string[], widths: readonly number[]): string {
  const padded = widths.map((width, column) => {
    const cell = cells[column] ?? '';
    return NUMERIC.has(column) ? cell.padStart(width) : cell.padEnd(width);
  });
  return padded.join('  ').trimEnd();
}

function toTotals(outcomes: readonly Outcome[], rows: readonly string[][]): string {
  const seconds = outcomes.reduce((sum, outcome) => sum + outcome.seconds, 0);
  const count = (result: string) => rows.filter((row) => row.at(-1) === result).length;
  const minutes = `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${count('met')} goals met, ${count('MISSED')} missed, ${count('failed')} benchmarks failed, in ${minutes}.`;
}
