/**
 * Reads of states of channels for one stream. Joins that are delivered during a read are applied after it, and departures
 * then too, because the states may be older. Joins also wait for the start of the stream, whose next page may name the
 * channel.
 */
export class StateReads {
  #heldChanges: (() => void)[] | undefined;
  #heldJoins: (() => void)[] | undefined;

  /** Whether states are being read. */
  get isReading(): boolean {
    return this.#heldChanges !== undefined;
  }

  /** Whether a join has to wait. */
  get isHoldingJoins(): boolean {
    return this.#heldJoins !== undefined || this.isReading;
  }

  /** Runs `start`, which reads the states of all channels of the stream in any number of reads. */
  async start(start: () => Promise<void>): Promise<void> {
    const joins: (() => void)[] = [];
    this.#heldJoins = joins;
    try {
      await start();
    } finally {
      this.#heldJoins = undefined;
      for (const join of joins) join();
    }
  }

  /** Runs `read`, which reads states of channels and attaches them. */
  async read<T>(read: () => Promise<T>): Promise<T> {
    const changes: (() => void)[] = [];
    this.#heldChanges = changes;
    try {
      return await read();
    } finally {
      this.#heldChanges = undefined;
      for (const change of changes) change();
    }
  }

  applyJoin(join: () => void): void {
    const held = this.#heldJoins ?? this.#heldChanges;
    if (held === undefined) join();
    else held.push(join);
  }

  /** To be called during a read. */
  applyAfterRead(departure: () => void): void {
    this.#heldChanges?.push(departure);
  }
}
