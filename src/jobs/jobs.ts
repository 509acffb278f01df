import type { Logger } from 'pino';
import { SentMessageRecorder } from '../activity/sent-messages.ts';
import { purgeObjects } from '../attachment/purge.ts';
import { type ScannerParts, scanFiles } from '../attachment/scanner.ts';
import type { Config } from '../config.ts';
import type { Pool } from '../db/types.ts';
import type { Encryption } from '../encryption/encryption.ts';
import { type OperationParts, runOperations } from '../operation/run.ts';
import { indexMessages } from '../search/sql.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { type PurgeParts, purge } from './purge.ts';
import { rotateKeys } from './rotate-keys.ts';
import {
  dropEmptyPartitions,
  dropOldEvents,
  ensurePartitions,
  listStandbyLag,
  listTableStats,
  pruneRequestIds,
  purgeEvents,
  settleUnread,
} from './sql.ts';

const SETTLE_BATCH = 500;
const INDEX_BATCH = 2_000;
const PRUNE_MS = 30_000;

export type JobParts = Omit<PurgeParts, 'isClosed'> &
  ScannerParts &
  Omit<OperationParts, 'isClosed'> & { readonly encryption: Encryption };

/** Periodic jobs. Every instance runs them: each step is one bounded, idempotent statement, so no leader is needed. */
export class Jobs {
  readonly #parts: JobParts;
  readonly #pool: Pool;
  readonly #config: Config;
  readonly #metrics: Metrics;
  readonly #log: Logger;
  readonly #sentMessages: SentMessageRecorder;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #stop = new AbortController();
  #closed = false;

  constructor(parts: JobParts) {
    this.#parts = parts;
    this.#pool = parts.db.log;
    this.#config = parts.config;
    this.#metrics = parts.metrics;
    this.#log = parts.log.child({ part: 'jobs' });
    this.#sentMessages = new SentMessageRecorder({ ...parts, pool: this.#pool });
    this.#repeat('settle', this.#config.unread.updateIntervalMs, () => this.#settle());
    this.#repeat('index', this.#config.search.indexIntervalMs, () => this.#index());
    this.#repeat('activities', this.#config.activity.pendingIntervalMs, () =>
      this.#sentMessages.recordAll(() => this.#closed),
    );
    this.#repeat('maintain', this.#config.maintenance.intervalMs, () => this.#maintain());
    for (let scan = 0; scan < this.#config.scan.concurrency; scan += 1)
      this.#repeat('scan', this.#config.scan.intervalMs, () => scanFiles(this.#parts, this.#stop.signal));
    this.#repeat('objects', this.#config.attachment.purgeIntervalMs, () => this.#purgeObjects());
    this.#repeat('operations', this.#config.operation.pollMs, () => this.#runOperations());
    this.#repeat('keys', this.#config.encryption.rotationIntervalMs, () => this.#rotateKeys());
    this.#repeat('retain', this.#config.retention.intervalMs, () => this.#retain());
  }

  close(): void {
    this.#closed = true;
    this.#stop.abort();
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #repeat(name: string, everyMs: number, run: () => Promise<void>): void {
    if (this.#closed || everyMs === 0) return;
    // Jitter, so that instances that start together do not run jobs at the same time.
    const timer = setTimeout(
      async () => {
        this.#timers.delete(timer);
        await run().catch((error) => {
          if (!this.#closed)
            this.#log.warn({ err: error, job: name }, 'job failed; retrying at its next interval');
        });
        this.#repeat(name, everyMs, run);
      },
      everyMs * (0.9 + Math.random() / 5),
    );
    this.#timers.add(timer);
  }

  async #settle(): Promise<void> {
    await settleUnread(this.#pool, SETTLE_BATCH);
  }

  async #index(): Promise<void> {
    for (let events = INDEX_BATCH; !this.#closed && events >= INDEX_BATCH; ) {
      const [row] = await indexMessages(this.#pool, INDEX_BATCH);
      events = row?.events ?? 0;
      this.#metrics.searchLagSeconds.set(Number(row?.lagMs ?? 0n) / 1000);
    }
  }

  async #maintain(): Promise<void> {
    const made = await ensurePartitions(this.#pool, () => this.#closed);
    const dropped = await dropOldEvents(this.#pool, this.#config.event.retentionDays);
    const empty = await dropEmptyPartitions(this.#pool, () => this.#closed);
    const end = performance.now() + PRUNE_MS;
    const isClosed = () => this.#closed || performance.now() > end;
    const events = await purgeEvents(this.#pool, { config: this.#config, isClosed });
    const pruned = await pruneRequestIds(this.#pool, { config: this.#config, isClosed });
    const counts = { made: made.length, dropped: dropped.length + empty.length, events, pruned };
    this.#log.debug(counts, 'maintenance finished');
    await this.#measure();
  }

  async #measure(): Promise<void> {
    const { tableBytes, defaultPartitionRows, partitionsAhead, retentionAgeSeconds } = this.#metrics;
    const { standbyLagBytes, standbyLagSeconds } = this.#metrics;
    for (const row of await listTableStats(this.#pool)) {
      const table = row.name;
      tableBytes.set({ table }, Number(row.bytes));
      if (row.defaultRows !== null) defaultPartitionRows.set({ table }, Number(row.defaultRows));
      if (row.partitionsAhead !== null) partitionsAhead.set({ table }, Number(row.partitionsAhead));
      if (row.retentionAgeMs !== null) retentionAgeSeconds.set(Number(row.retentionAgeMs) / 1_000);
    }
    const standbys = await listStandbyLag(this.#pool);
    // A standby that is no longer connected has no lag.
    standbyLagBytes.reset();
    standbyLagSeconds.reset();
    for (const { standby, bytes, ms } of standbys) {
      standbyLagBytes.set({ standby }, Number(bytes));
      standbyLagSeconds.set({ standby }, Number(ms) / 1_000);
    }
  }

  async #purgeObjects(): Promise<void> {
    const { storage, config } = this.#parts;
    const isClosed = () => this.#closed;
    await purgeObjects({ pool: this.#pool, storage, config, log: this.#log, isClosed });
  }

  async #runOperations(): Promise<void> {
    await runOperations({ ...this.#parts, log: this.#log, isClosed: () => this.#closed });
  }

  async #rotateKeys(): Promise<void> {
    const { encryption, config } = this.#parts;
    const isClosed = () => this.#closed;
    await rotateKeys({ pool: this.#pool, encryption, config, log: this.#log, isClosed });
  }

  async #retain(): Promise<void> {
    const purged = await purge({ ...this.#parts, log: this.#log, isClosed: () => this.#closed });
    if (purged !== undefined) this.#log.info(purged, 'retention finished');
  }
}
