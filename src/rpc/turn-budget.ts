/** Limits the time that one kind of work takes in a turn of the event loop, so that calls of others are served in between. */
export class TurnBudget {
  readonly #ms: number;
  #began: number | undefined;

  constructor(ms: number) {
    this.#ms = ms;
  }

  /** Whether time is left since this was first read in the turn. */
  get hasTime(): boolean {
    if (this.#began === undefined) {
      this.#began = performance.now();
      setImmediate(() => {
        this.#began = undefined;
      });
    }
    return performance.now() - this.#began < this.#ms;
  }
}
