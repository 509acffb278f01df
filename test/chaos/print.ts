import type { Conclusion, Report } from './run.ts';

// Of the columns after the first one.
const WIDTH = 12;
const NAME_WIDTH = 28;

/** The reports as a table that is read while it grows. */
export function heading(): string {
  return row('fault', ['lasted', 'recovered', 'pause', 'slowest', 'lost', 'twice', 'disorder', 'reconnects']);
}

export function reportLines(report: Report): string[] {
  const { fault, seconds, recoverySeconds, pauseSeconds, slowestDeliverySeconds } = report;
  const times = [seconds, recoverySeconds, pauseSeconds, slowestDeliverySeconds];
  const counts = [report.lost, report.duplicated, report.outOfOrder, report.reconnects];
  const errors = Object.entries(report.errors).map(([code, count]) => `${count} ${code}`);
  return [
    row(fault, [...times.map((time) => `${time.toFixed(2)} s`), ...counts.map(String)]),
    ...(errors.length > 0 ? [`    told: ${errors.join(', ')}`] : []),
    ...report.broken.map((promise) => `    BROKEN: ${promise}`),
  ];
}

export function conclusionLines({ acknowledged, memoryBefore, memoryAfter, broken }: Conclusion): string[] {
  const memory = memoryAfter.map((after, index) => {
    const before = memoryBefore[index] ?? after;
    return (
      `instance ${index + 1}: ${megabytes(before.live)} in use before and ${megabytes(after.live)} after; ` +
      `resident ${megabytes(before.resident)} and ${megabytes(after.resident)}`
    );
  });
  return [
    `${acknowledged} messages were acknowledged`,
    ...memory,
    ...broken.map((promise) => `BROKEN: ${promise}`),
    ...(broken.length === 0
      ? ['each is in the database once, and came to every subscriber once and in order']
      : []),
  ];
}

function row(name: string, cells: readonly string[]): string {
  return name.padEnd(NAME_WIDTH) + cells.map((cell) => cell.padStart(WIDTH)).join('');
}

function megabytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}
