import { ScanInterrupted, ScannerUnavailable, type Verdict } from './clamd.ts';
import { WorkerProcess } from './worker-process.ts';

/** A file at a URL that permits to read it only, and the address of clamd. */
export type ScanRequest = {
  readonly url: string;
  readonly address: string;
  /** Whether to look for HTML and SVG in the file. */
  readonly detectMarkup: boolean;
  readonly timeoutMs: number;
  /** Time for the first bytes of the store's response. */
  readonly responseMs: number;
};
export type ScanReply =
  | { readonly verdict: Verdict; readonly hasMarkup: boolean }
  | { readonly failure: 'UNAVAILABLE' | 'INTERRUPTED' | 'STORE'; readonly message: string };
type Scan = Extract<ScanReply, { verdict: Verdict }>;

/** The scan did not end, for a reason other than clamd. */
export class ScanStopped extends Error {
  override name = 'ScanStopped';
}

const MARGIN_MS = 10_000;

/**
 * Scans files in a process of its own: at 170 MB/s, reading a file delays calls, and leaves the process that does it with
 * 100 MB of buffers that are not collected yet. There, they are collected after each 8 MB.
 */
export class ScanProcess {
  readonly #worker: WorkerProcess<ScanRequest, ScanReply>;

  constructor(env: Readonly<Record<string, string>> = {}) {
    const file = new URL('./scan-process.ts', import.meta.url);
    this.#worker = new WorkerProcess({ file, flags: ['--expose-gc'], env });
  }

  /** Throws ScannerUnavailable and ScanInterrupted for clamd, and ScanStopped. */
  async scan(request: ScanRequest): Promise<Scan> {
    const reply = await this.#worker.request(request, request.timeoutMs + MARGIN_MS);
    if (reply === undefined) throw new ScanStopped('the process that scans has ended');
    if (!('failure' in reply)) return reply;
    if (reply.failure === 'INTERRUPTED') throw new ScanInterrupted(reply.message);
    throw reply.failure === 'UNAVAILABLE'
      ? new ScannerUnavailable(reply.message)
      : new ScanStopped(reply.message);
  }

  close(): void {
    this.#worker.close();
  }
}
