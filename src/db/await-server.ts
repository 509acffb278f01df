import { setTimeout as sleep } from 'node:timers/promises';
import type postgres from 'postgres';
import { toRpcError } from '../rpc/interceptors/map-errors.ts';

const MIN_PAUSE_MS = 100;
const MAX_PAUSE_MS = 2_000;
const LOG_INTERVAL_MS = 5_000;

export type Awaited = {
  /** Connection URL, of which only the hosts are logged. */
  readonly url: string;
  /** Time after which the last error is thrown. */
  readonly timeoutMs: number;
  /** Called for the first failure, and for later ones every 5 s. */
  readonly warn: (fields: { readonly host: string; readonly err: unknown }, message: string) => void;
};

/** Waits until PostgreSQL responds. Throws at once when it responds with an error that waiting does not resolve. */
export async function awaitServer<T extends Record<string, unknown>>(
  sql: postgres.Sql<T>,
  { url, timeoutMs, warn }: Awaited,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  let nextLog = 0;
  for (let pauseMs = MIN_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)) {
    try {
      await sql`select`;
      return;
    } catch (error) {
      const isTemporary = toRpcError(error)?.reasonName === 'DATABASE_UNAVAILABLE';
      const now = performance.now();
      if (!isTemporary || now + pauseMs > end) throw error;
      if (now >= nextLog) {
        warn({ host: hostsOf(url), err: error }, 'waiting for PostgreSQL');
        nextLog = now + LOG_INTERVAL_MS;
      }
    }
    await sleep(pauseMs);
  }
}

/** The hosts of a connection URL, which may name several; its password must not be logged. */
function hostsOf(url: string): string {
  return url
    .replace(/^[^/]*\/\//, '')
    .replace(/^.*@/, '')
    .replace(/[/?].*$/, '');
}
