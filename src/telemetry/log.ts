import { type DestinationStream, destination, type Logger, pino } from 'pino';

// PostgreSQL's `detail` and `where` quote rows. There are no wildcards, which would double the cost of every line.
const redact = {
  paths: [
    'authorization',
    'headers.authorization',
    'token',
    'err.detail',
    'err.where',
    'err.query',
    'err.parameters',
  ],
  censor: '[redacted]',
};

/**
 * The process's logger: JSON lines on stdout, written in batches. Each subsystem uses a child,
 * `log.child({ part: 'hub' })`. Log ids as strings: readers of JSON round large numbers.
 */
export function createLogger(level: string, stream: DestinationStream = batched()): Logger {
  return pino({ level, redact, base: null, formatters: { level: (label) => ({ level: label }) } }, stream);
}

// One write per 64 KB or 100 ms instead of one per line: a write wakes a thread, which with 4 KB took 4 % of the
// samples of a profile of SendMessage. pino writes the rest when the process exits.
function batched(): DestinationStream {
  return destination({ fd: 1, sync: false, minLength: 65_536, maxWrite: 131_072, periodicFlush: 100 });
}
