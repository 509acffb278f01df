/**
 * Random numbers from a seed (mulberry32), so that a failing run can be repeated: print `seed`, and give it as
 * TEST_SEED.
 */
export function createRandom(fallbackSeed: number) {
  const seed = Number(process.env['TEST_SEED'] ?? fallbackSeed);
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  return {
    seed,
    /** A whole number from 0 to below `limit`. */
    below: (limit: number) => Math.floor(next() * limit),
    pick<T>(items: readonly T[]): T {
      const item = items[Math.floor(next() * items.length)];
      if (item === undefined) throw new RangeError('nothing to pick from');
      return item;
    },
  };
}
