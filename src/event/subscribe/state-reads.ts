/**
 * Reads of states of channels for one stream, one after the other. Joins and departures that are delivered during a read
 * are applied after it, because the states may be older.
 */
export class StateReads {
  #held: (() => void)[] | undefined;
  #last: Promise<void> = Promise.resolve();

  /** Whether states are being read. */
  get isReading(): boolean {
    return this.#held !== undefined;
  }

  /** Runs `read`, which reads states of channels and attaches them, after the reads before it. */
  run<T>(read: () => Promise<T>): Promise<T> {
    const result = this.#last.then(() => this.#hold(read));
    const ended = () => {};
    this.#last = result.then(ended, ended);
    return result;
  }

  /** Applies a join or departure, after the current read if there is one. */
  applyChange(change: () => void): void {
    if (this.#held === undefined) change();
    else this.#held.push(change);
  }

  async #hold<T>(read: () => Promise<T>): Promise<T> {
    const changes: (() => void)[] = [];
    this.#held = changes;
    try {
      return await read();
    } finally {
      this.#held = undefined;
      for (const change of changes) change();
    }
  }
}
