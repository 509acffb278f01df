import type { Pool } from '../db/types.ts';

/** A batch ends within it; the run of an instance that was killed is resumed after it. */
export const LEASE_MS = 600_000n;

/** A run of retention that this instance works on. */
export type Run = { readonly runId: bigint; readonly attempt: number };

/** What a run counts. */
export type Counted = 'messages' | 'channels' | 'activities' | 'archived' | 'exported';

/** Begins a run, or resumes one that an instance left; undefined while another instance works on one. */
export async function beginRun(sql: Pool, instance: string): Promise<Run | undefined> {
  const [row] = await sql<(Run | { runId: null })[]>`
    select run_id, attempt from begin_retention_run(${instance}, ${LEASE_MS})
  `;
  return row === undefined || row.runId === null ? undefined : row;
}

/** Adds to the counts of a run; `isEnd` ends it, and without a lease another instance may continue it. */
export async function advanceRun(
  sql: Pool,
  { runId, attempt }: Run,
  kind: Counted,
  count: number,
  { isEnd = false, leaseMs = LEASE_MS } = {},
): Promise<void> {
  await sql`select advance_retention_run(${runId}, ${attempt}, ${kind}, ${count}, ${leaseMs}, ${isEnd})`;
}
