// The process that streams files from the store to clamd.
import { ScanInterrupted, ScannerUnavailable, scan } from './clamd.ts';
import { download } from './download.ts';
import { MarkupDetector } from './markup.ts';
import { lowerPriority } from './priority.ts';
import type { ScanReply, ScanRequest } from './scan.ts';
import { serveRequests } from './worker-process.ts';

const COLLECT_BYTES = 8_388_608;

// Calls come first.
lowerPriority(10);

let uncollected = 0;

serveRequests<ScanRequest, ScanReply>(async (request) => {
  const { address, url, detectMarkup, timeoutMs, responseMs } = request;
  const signal = AbortSignal.timeout(timeoutMs);
  const markup = new MarkupDetector();
  const inspect = (chunk: Buffer) => {
    if (detectMarkup) markup.add(chunk);
    collect(chunk.length);
  };
  try {
    const verdict = await scan(
      address,
      { open: () => download(url, { responseMs, signal }), inspect },
      signal,
    );
    return { verdict, hasMarkup: markup.found };
  } catch (error) {
    return { failure: toFailure(error), message: error instanceof Error ? error.message : `${error}` };
  }
});

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
