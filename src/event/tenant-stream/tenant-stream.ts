import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { TenantStreamResetReason } from '#gen/serp/discuss/v1/event_service_pb.ts';
import type { Config } from '../../config.ts';
import { toTimestamp } from '../../db/time.ts';
import type { Call, Sink } from '../../rpc/call.ts';
import { drained } from '../../rpc/drained.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { Position } from './cursor.ts';
import { type TenantStreamPage, toTenantStreamFrame } from './page.ts';
import type { TenantStreamFilter } from './sql.ts';
import type { TenantLog } from './tenant-log.ts';

// First delay before the log is read again for events that an older transaction holds back; the delay grows.
const HELD_MS = 10;

export type TenantStreamParts = {
  readonly filter: TenantStreamFilter;
  readonly start: Position;
  readonly call: Call;
  readonly sink: Sink;
  readonly tenantLog: TenantLog;
  readonly config: Config['event'];
  readonly metrics: Metrics;
  readonly now: () => number;
};

/**
 * One consumer of the log of all tenants. It reads page by page: the next page when the connection has taken the last
 * one.
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
    const { tenantLog, call, config, sink } = this.#parts;
    const { signal } = call;
    this.#send({ case: 'started', value: { heartbeatInterval: durationFromMs(config.heartbeatMs) } });
    while (!signal.aborted) {
      const { version } = tenantLog;
      const page = await this.#read();
      if (signal.aborted) return;
      if (page !== undefined) this.#sendPage(page);
      await drained(sink, signal);
      if (page?.more === true) continue;
      await tenantLog.waitForChange(version, this.#waitMs(page), signal);
      this.#sendHeartbeat();
    }
  }

  async #read(): Promise<TenantStreamPage | undefined> {
    const { tenantLog, filter, call } = this.#parts;
    try {
      return await tenantLog.read(this.#at, filter);
    } catch (error) {
      call.log.warn({ err: error }, 'a tenant stream could not read the log; retrying');
      return undefined;
    }
  }

  #sendPage({ frames, end, lost }: TenantStreamPage): void {
    const { sink, metrics, now } = this.#parts;
    this.#at = end;
    if (lost !== undefined) {
      metrics.streamResets.inc();
      this.#send({ case: 'reset', value: { reason: TenantStreamResetReason[lost] } });
    }
    if (frames.length === 0) return;
    for (const frame of frames) sink.write(frame);
    metrics.tenantStreamEvents.inc(frames.length);
    this.#sentAt = now();
  }

  #send(payload: Parameters<typeof toTenantStreamFrame>[1]): void {
    this.#parts.sink.write(toTenantStreamFrame(this.#at, payload));
    this.#sentAt = this.#parts.now();
  }

  // Also while the log cannot be read, and while the filter lets no event through: the cursor still moves on.
  #sendHeartbeat(): void {
    const { config, call, now } = this.#parts;
    const at = now();
    if (call.signal.aborted || at - this.#sentAt < config.heartbeatMs) return;
    this.#send({ case: 'heartbeat', value: { sendTime: toTimestamp(BigInt(at)) } });
  }

  #waitMs(page: TenantStreamPage | undefined): number {
    const { pollMs, heartbeatMs } = this.#parts.config;
    const longest = Math.min(pollMs, heartbeatMs);
    return page === undefined || page.heldMs === 0
      ? longest
      : Math.min(longest, Math.max(HELD_MS, page.heldMs / 4));
  }
}
