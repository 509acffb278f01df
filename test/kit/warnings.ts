import type { Logger } from 'pino';
import { createLogger } from '../../src/telemetry/log.ts';

const KEPT = 40;
const lines: string[] = [];

// The errors of a client do not have the cause, for example of a failed connection to PostgreSQL.
process.once('exit', (code) => {
  if (code !== 0 && lines.length > 0)
    console.error(`the last warnings of the instances in this file:\n${lines.join('')}`);
});

/** A log that writes nothing, except the last warnings if the file fails. TEST_LOG_LEVEL shows all lines of this level. */
export function testLog(): Logger {
  const level = process.env['TEST_LOG_LEVEL'];
  if (level !== undefined) return createLogger(level);
  return createLogger('warn', {
    write(line) {
      lines.push(line);
      if (lines.length > KEPT) lines.shift();
    },
  });
}
