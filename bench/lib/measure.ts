/** One line of output. `ratio` is `value / baseline`, each the median of `runs` alternating runs. */
export type Measurement = {
  readonly name: string;
  readonly value: number;
  readonly baseline: number;
  readonly ratio: number;
  readonly unit: string;
  readonly runs: number;
};

export const RUNS = 3;

/** Alternates between both sides, so that a temporary slowdown of the machine affects both. */
export async function compare(
  name: string,
  unit: string,
  value: (run: number) => Promise<number>,
  baseline: (run: number) => Promise<number>,
): Promise<Measurement> {
  const values: number[] = [];
  const baselines: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    values.push(await value(run));
    baselines.push(await baseline(run));
    console.error(`  ${name}: ${round(values[run] ?? 0)} and ${round(baselines[run] ?? 0)} ${unit}`);
  }
  return toMeasurement(name, unit, values, baselines);
}

export function toMeasurement(
  name: string,
  unit: string,
  values: readonly number[],
  baselines: readonly number[],
): Measurement {
  const value = median(values);
  const baseline = median(baselines);
  const ratio = round(value / baseline);
  return { name, value: round(value), baseline: round(baseline), ratio, unit, runs: values.length };
}

export function median(numbers: readonly number[]): number {
  return percentile(numbers, 0.5);
}

/** Interpolates between the two nearest ranks. */
export function percentile(numbers: readonly number[], share: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const rank = (sorted.length - 1) * share;
  const low = sorted[Math.floor(rank)] ?? Number.NaN;
  const high = sorted[Math.ceil(rank)] ?? Number.NaN;
  return low + (high - low) * (rank - Math.floor(rank));
}

/** Median time of sequential calls, ms. */
export async function p50(calls: number, call: (index: number) => PromiseLike<unknown>): Promise<number> {
  const times: number[] = [];
  for (let index = 0; index < calls; index++) {
    const began = performance.now();
    await call(index);
    times.push(performance.now() - began);
  }
  return median(times);
}

function round(number: number): number {
  return Number(number.toPrecision(4));
}
