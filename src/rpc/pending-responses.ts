import type { Config } from '../config.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Caller } from './call.ts';

// Of unread responses, above which the reads of a caller wait for each other. Less than one large page.
const LAGGING_BYTES = 262_144;

type Reader = Pick<Caller, 'tenantId' | 'userId'>;
type Response = { readonly sentAt: number; readonly cutOff: () => void };

/**
 * Responses that their clients have not read: of unary calls, and what remains of a stream at its end. They stay in memory
 * until the connection takes them. A client can postpone that by a flow-control window of zero.
 */
export class PendingResponses {
  readonly #config: Config['call'];
  readonly #metrics: Metrics;
  readonly #bytes = new Map<string, number>();
  // In the order in which they were sent.
  readonly #responses = new Set<Response>();
  readonly #onCaughtUp: () => void;
  #timer: NodeJS.Timeout | undefined;

  /** `onCaughtUp` is called when a caller is not lagging any more. */
  constructor(config: Config['call'], metrics: Metrics, onCaughtUp: () => void) {
    this.#config = config;
    this.#metrics = metrics;
    this.#onCaughtUp = onCaughtUp;
  }

  get maxBytes(): number {
    return this.#config.pendingBytes;
  }

  /** Whether the caller has left so many bytes unread that no more are prepared for it. */
  isFull(caller: Caller): boolean {
    return (this.#bytes.get(keyOf(caller)) ?? 0) >= this.#config.pendingBytes;
  }

  /** Whether the caller has left so much unread that its responses are prepared one at a time, if any are. */
  isLagging(caller: Reader): boolean {
    const bytes = this.#bytes.get(keyOf(caller)) ?? 0;
    return bytes >= LAGGING_BYTES && bytes < this.#config.pendingBytes;
  }

  /**
   * Counts a response until the returned function is called; calls `cutOff` when that takes too long. What is sent to an
   * unknown caller is small, and only cut off.
   */
  add(caller: Caller | undefined, bytes: number, cutOff: () => void): () => void {
    const key = caller && keyOf(caller);
    const response = { sentAt: performance.now(), cutOff };
    this.#responses.add(response);
    this.#count(key, bytes);
    this.#timer ??= this.#checkAfter(this.#config.pendingTimeoutMs);
    return () => {
      if (this.#responses.delete(response)) this.#count(key, -bytes);
    };
  }

  #count(key: string | undefined, bytes: number): void {
    if (key === undefined) return;
    const before = this.#bytes.get(key) ?? 0;
    const sum = before + bytes;
    if (sum > 0) this.#bytes.set(key, sum);
    else this.#bytes.delete(key);
    if (before >= LAGGING_BYTES && sum < LAGGING_BYTES) this.#onCaughtUp();
  }

  // One timer, which is not stopped when the last response was read: most are read at once.
  #checkAfter(ms: number): NodeJS.Timeout {
    return setTimeout(() => this.#check(), ms).unref();
  }

  #check(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (const { sentAt, cutOff } of this.#responses) {
      const leftMs = sentAt + this.#config.pendingTimeoutMs - now;
      if (leftMs > 0) {
        this.#timer = this.#checkAfter(leftMs);
        return;
      }
      this.#metrics.responsesCutOff.inc();
      cutOff();
    }
  }
}

function keyOf({ tenantId, userId }: Reader): string {
  return `${tenantId}:${userId}`;
}
