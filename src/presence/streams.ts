import { randomBytes } from 'node:crypto';
import type { Config } from '../config.ts';
import type { Change } from './cache.ts';
import type { UserKey } from './sql.ts';
import type { Session } from './state.ts';

const TICK_MS = 250;
// Of a tick; what is more waits for the next one.
const MAX_REFRESHED = 2_000;

type Open = {
  readonly tenantId: bigint;
  readonly userId: bigint;
  readonly session: Session;
  /** When Redis is told again that the stream is open, epoch ms. */
  dueAt: number;
};

/**
 * Keeps the users of open streams present. Each stream's device is written again well before it would end, the
 * streams spread over time, those of a moment in one round trip.
 */
export class PresentStreams {
  readonly #refreshMs: number;
  readonly #apply: (tenantId: bigint, userId: bigint, change: Change) => Promise<unknown>;
  readonly #isReady: () => boolean;
  readonly #open = new Set<Open>();
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
    this.#timer = setInterval(() => this.#refresh(Date.now()), Math.min(TICK_MS, this.#refreshMs / 4));
  }

  /** Makes a user present until the returned function is called, and the grace time after that. */
  open({ tenantId, userId }: UserKey, device: string, kind: string): () => void {
    const session = { device, kind, id: randomBytes(6).toString('base64url') };
    const open: Open = { tenantId, userId, session, dueAt: 0 };
    this.#open.add(open);
    this.#tell(open);
    return () => {
      this.#open.delete(open);
      this.#run(this.#apply(tenantId, userId, { op: 'close', session }));
    };
  }

  /** Has all streams told again within a time: Redis may have forgotten them. */
  tellAllWithin(ms: number): void {
    const now = Date.now();
    for (const open of this.#open) open.dueAt = now + Math.random() * ms;
  }

  /** Resolves when what is on its way to Redis has arrived or failed. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#running);
  }

  #refresh(now: number): void {
    if (!this.#isReady()) return;
    let left = MAX_REFRESHED;
    for (const open of this.#open) {
      if (open.dueAt > now) continue;
      if (left === 0) break;
      left -= 1;
      this.#tell(open);
    }
  }

  #tell(open: Open): void {
    const { tenantId, userId, session } = open;
    open.dueAt = Date.now() + this.#refreshMs * (0.75 + Math.random() / 4);
    this.#run(
      this.#apply(tenantId, userId, { op: 'stream', session }).catch(() => {
        // Redis or the database is away: again with one of the next ticks, not all at once.
        open.dueAt = Math.min(open.dueAt, Date.now() + TICK_MS * (1 + 4 * Math.random()));
      }),
    );
  }

  #run(work: Promise<unknown>): void {
    const running: Promise<unknown> = work.catch(() => {}).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }
}
