/**
 * Options of Node's HTTP/2 servers, which end a connection, with the streams of all its callers, when its client resets more
 * streams than this, or opens more beyond the maximum: a client that resets streams can open others before the server has
 * closed these. Resets are limited by caller instead, see CancelledCalls, and by connection as below, which ends no open
 * call. An instance does not serve as many calls.
 */
export const connectionLimits = {
  streamResetBurst: 20_000,
  streamResetRate: 2_000,
  maxSessionRejectedStreams: 20_000,
};

/**
 * Streams of a connection on which no call has been admitted. Clients assume this number before they know the server's
 * (gRPC's and nghttp2's do). One read of a socket is up to 64 KB, whose 400 streams would make the event loop busy for 40 ms.
 */
export const UNKNOWN_STREAMS = 100;

// Node's defaults for its own limit of reset streams.
const UNKNOWN_CALLER = { burst: 1_000, perSecond: 33 };
// Of callers that are authenticated, too. Each costs some 0.1 ms of CPU time before its caller can be rejected.
const ALL = { burst: 5_000, perSecond: 500 };

// Rejected calls whose client neither ends nor resets the request, beyond calls that are admitted on the connection.
const MAX_UNENDED = 20;

/** Counts the streams of one connection that are reset: before their caller is authenticated, and all. */
export class ResetLimit {
  readonly #unknown: Bucket;
  readonly #all: Bucket;
  #unended = 0;

  constructor(now: () => number = () => performance.now()) {
    this.#unknown = new Bucket(UNKNOWN_CALLER, now);
    this.#all = new Bucket(ALL, now);
  }

  /** Counts a reset; returns whether the connection is above the limit. */
  exceeds(isCallerKnown: boolean): boolean {
    const isAboveAll = this.#all.add();
    return (!isCallerKnown && this.#unknown.add()) || isAboveAll;
  }

  /** Counts an admitted call, or one that was rejected and whose request stays open; returns the same. */
  exceedsByCall(isAdmitted: boolean): boolean {
    this.#unended = Math.max(0, this.#unended + (isAdmitted ? -1 : 1));
    return this.#unended > MAX_UNENDED;
  }
}

class Bucket {
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #now: () => number;
  #count = 0;
  #time = 0;

  constructor({ burst, perSecond }: typeof ALL, now: () => number) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#now = now;
  }

  add(): boolean {
    const now = this.#now();
    const forgotten = ((now - this.#time) / 1_000) * this.#perSecond;
    this.#count = Math.max(0, this.#count - forgotten) + 1;
    this.#time = now;
    return this.#count > this.#burst;
  }
}
