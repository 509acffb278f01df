import { cors } from '@connectrpc/connect';
import type { HttpRequest, HttpResponse } from './dual-protocol-server.ts';

const allowed = [
  ['access-control-allow-methods', cors.allowedMethods.join(', ')],
  ['access-control-allow-headers', [...cors.allowedHeaders, 'authorization', 'x-request-id'].join(', ')],
  // Two hours is the longest that browsers take.
  ['access-control-max-age', '7200'],
] as const;
const exposed = [...cors.exposedHeaders, 'x-request-id'].join(', ');

/**
 * Lets pages of the listed origins read answers; other origins get no permission, and their browsers keep the
 * answer from them. Returns true when the request was a preflight, which is then answered.
 */
export function handleCors(
  origins: ReadonlySet<string>,
  request: HttpRequest,
  response: HttpResponse,
): boolean {
  const { origin } = request.headers;
  response.setHeader('vary', 'origin');
  const known = typeof origin === 'string' && origins.has(origin);
  if (known) {
    response.setHeader('access-control-allow-origin', origin);
    response.setHeader('access-control-expose-headers', exposed);
  }
  if (request.method !== 'OPTIONS') return false;
  response.statusCode = known ? 204 : 403;
  if (known) for (const [name, value] of allowed) response.setHeader(name, value);
  response.end();
  return true;
}
