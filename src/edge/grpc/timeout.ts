import type { Http2Server, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';

const HEADER = 'grpc-timeout';
const MAX_TIMER_MS = 2_147_483_647;
// The longest in whole hours that a timer can have.
const LONGEST = '596H';
const UNIT_MS = new Map([
  ['H', 3_600_000],
  ['M', 60_000],
  ['S', 1_000],
]);

/**
 * Lowers timeouts that are longer than a timer can be, 24 days, before grpc-js reads them: it counts in 32 bits, so that a
 * longer one ends the call at once or at any time.
 */
export function boundTimeouts(http2Server: Http2Server): void {
  http2Server.prependListener('stream', (_stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    const timeout = headers[HEADER];
    if (typeof timeout === 'string' && isTooLong(timeout)) headers[HEADER] = LONGEST;
  });
}

function isTooLong(timeout: string): boolean {
  const [, count, unit = ''] = /^(\d{1,8})([HMS])$/.exec(timeout) ?? [];
  return Number(count) * (UNIT_MS.get(unit) ?? 0) > MAX_TIMER_MS;
}
