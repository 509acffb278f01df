/** Place of an item among those with the same key. */
export type Turn = {
  /** Resolves when all earlier items have passed; undefined for the first. */
  readonly before: Promise<void> | undefined;
  /** Lets the next item take its turn. */
  pass(): void;
};

/** Keeps the order of items with the same key, whose preparations may take different times. */
export class Turns {
  readonly #last = new Map<bigint, Promise<void>>();

  /** A turn after those that were taken before with this key. */
  take(key: bigint): Turn {
    const before = this.#last.get(key);
    const { promise, resolve } = Promise.withResolvers<void>();
    const after = before === undefined ? promise : before.then(() => promise);
    this.#last.set(key, after);
    void after.then(() => {
      if (this.#last.get(key) === after) this.#last.delete(key);
    });
    return { before, pass: resolve };
  }
}
