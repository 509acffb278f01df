import type { FinalReport, Report } from './run.ts';

// Of the columns after the first one.
const WIDTH = 12;
const NAME_WIDTH = 28;

/** The header of the table of reports. */
export function heading(): string {
  return row('fault', [
    'duration',
    'recovery',
    'pause',
    'slowest',
    'lost',
    'duplicate',
    'disorder',
    'reconnects',
  ]);
}

export function reportLines(report: Report): string[] {
  const { fault, seconds, recoverySeconds, pauseSeconds, slowestDeliverySeconds } = report;
  const times = [seconds, recoverySeconds, pauseSeconds, slowestDeliverySeconds];
  const counts = [report.lost, report.duplicated, report.outOfOrder, report.reconnects];
  const errors = Object.entries(report.errors).map(([code, count]) => `${count} ${code}`);
  return [
    row(fault, [...times.map((time) => `${time.toFixed(2)} s`), ...counts.map(String)]),
    ...(errors.length > 0 ? [`    errors: ${errors.join(', ')}`] : []),
    ...report.violations.map((violation) => `    VIOLATION: ${violation}`),
  ];
}

export function finalReportLines({
  acknowledged,
  memoryBefore,
  memoryAfter,
  violations,
}: FinalReport): string[] {
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
    ...violations.map((violation) => `VIOLATION: ${violation}`),
    ...(violations.length === 0
      ? ['each is stored once, and was delivered to every subscriber once and in order']
      : []),
  ];
}

function row(name: string, cells: readonly string[]): string {
  return name.padEnd(NAME_WIDTH) + cells.map((cell) => cell.padStart(WIDTH)).join('');
}

function megabytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}
