import type { Logger } from 'pino';
import { TenantStreamResetReason } from '#gen/serp/discuss/v1/event_service_pb.ts';
import type { Config } from '../../config.ts';
import { toTimestamp } from '../../db/time.ts';
import type { Sink } from '../../rpc/call.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { Position } from './cursor.ts';
import { type TenantStreamPage, toTenantStreamFrame } from './page.ts';
import type { TenantStreamFilter } from './sql.ts';
import type { TenantStreams } from './tenant-streams.ts';

// What waits for an older transaction is asked for this soon at first, and then ever less often.
const HELD_MS = 10;

export type TenantStreamParts = {
  readonly filter: TenantStreamFilter;
  readonly start: Position;
  readonly sink: Sink;
  readonly signal: AbortSignal;
  readonly feeds: TenantStreams;
  readonly config: Config['event'];
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly now: () => number;
};

/**
 * One consumer of the log of all tenants. Goes through it page by page: the next one is read when the
 * connection has taken the last.
 */
export class TenantStream {
  readonly #parts: TenantStreamParts;
  #at: Position;
  #sentAt: number;

  constructor(parts: TenantStreamParts) {
    this.#parts = parts;
    this.#at = parts.start;
    this.#sentAt = parts.now();
  }

  async run(): Promise<void> {
    const { feeds, signal, config, sink } = this.#parts;
    this.#tell({ case: 'started', value: { heartbeatIntervalMs: config.heartbeatMs } });
    while (!signal.aborted) {
      const { heard } = feeds;
      const page = await this.#read();
      if (signal.aborted) return;
      if (page !== undefined) this.#send(page);
      await drained(sink, signal);
      if (page?.more === true) continue;
      await feeds.news(heard, this.#waitMs(page), signal);
      this.#beat();
    }
  }

  async #read(): Promise<TenantStreamPage | undefined> {
    const { feeds, filter, log } = this.#parts;
    try {
      return await feeds.read(this.#at, filter);
    } catch (error) {
      log.warn({ err: error }, 'a feed could not read the log; it tries again');
      return undefined;
    }
  }

  #send({ frames, end, lost }: TenantStreamPage): void {
    const { sink, metrics, now } = this.#parts;
    this.#at = end;
    if (lost !== undefined) {
      metrics.streamResets.inc();
      this.#tell({ case: 'reset', value: { reason: TenantStreamResetReason[lost] } });
    }
    if (frames.length === 0) return;
    for (const frame of frames) sink.write(frame);
    metrics.feedEvents.inc(frames.length);
    this.#sentAt = now();
  }

  #tell(payload: Parameters<typeof toTenantStreamFrame>[1]): void {
    this.#parts.sink.write(toTenantStreamFrame(this.#at, payload));
    this.#sentAt = this.#parts.now();
  }

  // Also while the log cannot be read, and for a feed that lets nothing through: its cursor moves on.
  #beat(): void {
    const { config, signal, now } = this.#parts;
    const at = now();
    if (signal.aborted || at - this.#sentAt < config.heartbeatMs) return;
    this.#tell({ case: 'heartbeat', value: { sendTime: toTimestamp(BigInt(at)) } });
  }

  #waitMs(page: TenantStreamPage | undefined): number {
    const { sweepMs, heartbeatMs } = this.#parts.config;
    const most = Math.min(sweepMs, heartbeatMs);
    return page === undefined || page.heldMs === 0
      ? most
      : Math.min(most, Math.max(HELD_MS, page.heldMs / 4));
  }
}

function drained(sink: Sink, signal: AbortSignal): Promise<void> | undefined {
  if (sink.buffered === 0) return undefined;
  return new Promise((resolve) => {
    const done = () => {
      signal.removeEventListener('abort', done);
      resolve();
    };
    signal.addEventListener('abort', done, { once: true });
    sink.onDrain(done);
  });
}
