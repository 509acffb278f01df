import { EventEmitter } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http2';
import type { Server } from '@grpc/grpc-js';

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
 * longer one ends the call at once or at any time. The HTTP/2 servers are a private field of grpc-js, whose version is
 * therefore pinned.
 */
export function boundTimeouts(server: Server): void {
  const http2Servers: unknown = Reflect.get(server, 'http2Servers');
  if (!(http2Servers instanceof Map) || http2Servers.size === 0)
    throw new Error('this version of grpc-js does not keep its HTTP/2 servers where they are expected');
  for (const http2Server of http2Servers.keys())
    if (http2Server instanceof EventEmitter)
      http2Server.prependListener('stream', (_stream: unknown, headers: IncomingHttpHeaders) => {
        const timeout = headers[HEADER];
        if (typeof timeout === 'string' && isTooLong(timeout)) headers[HEADER] = LONGEST;
      });
}

function isTooLong(timeout: string): boolean {
  const [, count, unit = ''] = /^(\d{1,8})([HMS])$/.exec(timeout) ?? [];
  return Number(count) * (UNIT_MS.get(unit) ?? 0) > MAX_TIMER_MS;
}
