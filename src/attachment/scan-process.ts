// The process that streams files from the store to clamd.
import { once } from 'node:events';
import { get as getPlain, IncomingMessage } from 'node:http';
import { get as getTls } from 'node:https';
import { ScanInterrupted, ScannerUnavailable, scan } from './clamd.ts';
import { MarkupDetector } from './markup.ts';
import { lowerPriority } from './priority.ts';
import type { ScanReply, ScanRequest } from './scan.ts';
import { serveRequests } from './worker-process.ts';

const COLLECT_BYTES = 8_388_608;

// Calls come first.
lowerPriority(10);

let uncollected = 0;

serveRequests<ScanRequest, ScanReply>(async (request) => {
  const { address, detectMarkup, timeoutMs } = request;
  const signal = AbortSignal.timeout(timeoutMs);
  const markup = new MarkupDetector();
  const inspect = (chunk: Buffer) => {
    if (detectMarkup) markup.add(chunk);
    collect(chunk.length);
  };
  try {
    const verdict = await scan(address, { open: () => open(request, signal), inspect }, signal);
    return { verdict, hasMarkup: markup.found };
  } catch (error) {
    return { failure: toFailure(error), message: error instanceof Error ? error.message : `${error}` };
  }
});

async function open({ url, responseMs }: ScanRequest, signal: AbortSignal): Promise<IncomingMessage> {
  const request = (url.startsWith('https:') ? getTls : getPlain)(url, { signal });
  const timer = setTimeout(
    () => request.destroy(new Error(`the store did not respond within ${responseMs} ms`)),
    responseMs,
  );
  const [response] = await once(request, 'response').finally(() => clearTimeout(timer));
  // Errors after the response are also those of the response, which is read to its end.
  request.on('error', () => {});
  if (response instanceof IncomingMessage && response.statusCode === 200) return response;
  request.destroy();
  throw new Error(`the store responded with ${response?.statusCode}`);
}

function collect(bytes: number): void {
  uncollected += bytes;
  if (uncollected < COLLECT_BYTES) return;
  uncollected = 0;
  globalThis.gc?.({ type: 'minor', execution: 'sync' });
}

function toFailure(error: unknown): 'UNAVAILABLE' | 'INTERRUPTED' | 'STORE' {
  if (error instanceof ScanInterrupted) return 'INTERRUPTED';
  return error instanceof ScannerUnavailable ? 'UNAVAILABLE' : 'STORE';
}
