import type { Config } from '../../config.ts';
import type { Call, Sink } from '../../rpc/call.ts';
import { errors } from '../../rpc/errors.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { Position } from './cursor.ts';
import type { TenantStreamFilter } from './sql.ts';
import type { TenantLog } from './tenant-log.ts';
import { TenantStream } from './tenant-stream.ts';

/** What a tenant stream contains, and where it begins. */
export type TenantStreamRequest = {
  readonly filter: TenantStreamFilter;
  readonly from: Position | 'now' | 'oldest';
};

/** The StreamTenantEvents calls of this process. */
export class TenantStreams {
  readonly #config: Config['event'];
  readonly #log: TenantLog;
  readonly #metrics: Metrics;
  readonly #now: () => number;
  #open = 0;

  constructor(parts: { config: Config; tenantLog: TenantLog; metrics: Metrics; now: () => number }) {
    this.#config = parts.config.event;
    this.#log = parts.tenantLog;
    this.#metrics = parts.metrics;
    this.#now = parts.now;
  }

  /** Runs a stream until its call ends. */
  async serve({ filter, from }: TenantStreamRequest, call: Call, sink: Sink): Promise<void> {
    if (this.#open >= this.#config.tenantStreams)
      throw errors.overloaded(
        'too many tenant streams are open on this instance',
        this.#config.tenantStreams,
        5_000,
      );
    this.#open += 1;
    try {
      const start = typeof from === 'string' ? await this.#findPosition(from, filter) : from;
      await new TenantStream({
        filter,
        start,
        call,
        sink,
        tenantLog: this.#log,
        config: this.#config,
        metrics: this.#metrics,
        now: this.#now,
      }).run();
    } finally {
      this.#open -= 1;
      if (this.#open === 0) this.#metrics.tenantStreamHeldSeconds.set(0);
    }
  }

  // For a cursor of an unknown epoch the result is the position at which the log begins.
  async #findPosition(place: 'now' | 'oldest', filter: TenantStreamFilter): Promise<Position> {
    const after = place === 'now' ? undefined : { epoch: -1n, xid: 0n, id: 0n };
    return (await this.#log.read(after, filter)).end;
  }
}
