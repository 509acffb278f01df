import { ServerResponse } from 'node:http';
import type { HttpResponse } from './dual-protocol-server.ts';

/** Sends a response that consists of a status and headers, whether or not the request's body has ended. */
export function sendEmpty(response: HttpResponse, status: number): void {
  response.statusCode = status;
  response.end();
  // Node ends a stream whose request nothing reads only when the response has a body or trailers. The client of another
  // one would wait for a window that never opens, and its stream would count until the time-out of the body.
  if (!(response instanceof ServerResponse)) response.stream.close();
}
