import { randomBytes } from 'node:crypto';
import type { Config } from '../config.ts';
import { everyInTurns } from '../rpc/in-turns.ts';
import type { Change } from './cache.ts';
import type { UserKey } from './sql.ts';
import type { Session } from './state.ts';

const TICK_MS = 250;
const MAX_REFRESHED_PER_TICK = 2_000;

type OpenStream = {
  readonly tenantId: bigint;
  readonly userId: bigint;
  readonly session: Session;
  /** When the stream is next reported to Redis, epoch ms. */
  refreshAt: number;
};

/**
 * Keeps the users of open streams online. The device of each stream is refreshed well before it expires; refreshes are
 * spread over time, and those of one turn of the event loop share a round trip.
 */
export class OpenStreams {
  readonly #refreshMs: number;
  readonly #apply: (tenantId: bigint, userId: bigint, change: Change) => Promise<unknown>;
  readonly #isReady: () => boolean;
  readonly #streams = new Set<OpenStream>();
  readonly #timer: NodeJS.Timeout;
  readonly #running = new Set<Promise<unknown>>();

  constructor(parts: {
    config: Config['presence'];
    apply: (tenantId: bigint, userId: bigint, change: Change) => Promise<unknown>;
    isReady: () => boolean;
  }) {
    this.#refreshMs = parts.config.deviceTtlMs / 3;
    this.#apply = parts.apply;
    this.#isReady = parts.isReady;
    this.#timer = everyInTurns(
      Math.min(TICK_MS, this.#refreshMs / 4),
      () => this.#due(),
      (stream) => this.#refresh(stream),
    );
  }

  /** Makes a user online until the returned function is called, and for the grace time after that. */
  open({ tenantId, userId }: UserKey, device: string, kind: string): () => void {
    const session = { device, kind, id: randomBytes(6).toString('base64url') };
    const stream: OpenStream = { tenantId, userId, session, refreshAt: 0 };
    this.#streams.add(stream);
    this.#refresh(stream);
    return () => {
      this.#streams.delete(stream);
      this.#run(this.#apply(tenantId, userId, { operation: 'close', session }));
    };
  }

  /**
   * Reports all streams to Redis again within a time, because it may have lost them. A refresh that is due earlier stays
   * so: the end of a recovery relies on it.
   */
  refreshAllWithin(ms: number): void {
    const now = Date.now();
    for (const stream of this.#streams)
      stream.refreshAt = Math.min(stream.refreshAt, now + Math.random() * ms);
  }

  /** Resolves when all pending writes to Redis have succeeded or failed. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#running);
  }

  *#due(): Generator<OpenStream> {
    if (!this.#isReady()) return;
    const now = Date.now();
    let left = MAX_REFRESHED_PER_TICK;
    for (const stream of this.#streams) {
      if (stream.refreshAt > now) continue;
      if (left === 0) break;
      left -= 1;
      yield stream;
    }
  }

  #refresh(stream: OpenStream): void {
    const { tenantId, userId, session } = stream;
    stream.refreshAt = Date.now() + this.#refreshMs * (0.75 + Math.random() / 4);
    this.#run(
      this.#apply(tenantId, userId, { operation: 'open', session }).catch(() => {
        // Redis or the database is unavailable: retry within a few ticks, not all streams in one.
        stream.refreshAt = Math.min(stream.refreshAt, Date.now() + TICK_MS * (1 + 4 * Math.random()));
      }),
    );
  }

  #run(work: Promise<unknown>): void {
    const running: Promise<unknown> = work.catch(() => {}).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }
}
