import { cors } from '@connectrpc/connect';
import type { HttpRequest, HttpResponse } from './dual-protocol-server.ts';
import { sendEmpty } from './empty-response.ts';

const allowed = [
  ['access-control-allow-methods', cors.allowedMethods.join(', ')],
  ['access-control-allow-headers', [...cors.allowedHeaders, 'authorization', 'x-request-id'].join(', ')],
  // Two hours: the maximum in Chromium.
  ['access-control-max-age', '7200'],
] as const;
const exposed = [...cors.exposedHeaders, 'x-request-id'].join(', ');

/**
 * Allows pages of the listed origins to read responses. Returns true when the request was a preflight, to which it
 * has then responded.
 */
export function handleCors(
  origins: ReadonlySet<string>,
  request: HttpRequest,
  response: HttpResponse,
): boolean {
  const { origin } = request.headers;
  response.setHeader('vary', 'origin');
  const isListed = typeof origin === 'string' && origins.has(origin);
  if (isListed) {
    response.setHeader('access-control-allow-origin', origin);
    response.setHeader('access-control-expose-headers', exposed);
  }
  if (request.method !== 'OPTIONS') return false;
  if (isListed) for (const [name, value] of allowed) response.setHeader(name, value);
  sendEmpty(response, isListed ? 204 : 403);
  return true;
}
