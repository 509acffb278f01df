// usage: npm run bench [-- [--profile=folder] subject or beginning of a name, or all ...]
// Writes a line of JSON for each figure to stdout; progress and, at the end, a table with the goals to stderr.
import { constants } from 'node:os';
import { parseArgs } from 'node:util';
import { BENCHMARKS, selectBenchmarks } from './benchmarks.ts';
import { type Benchmark, SUBJECTS } from './lib/benchmark.ts';
import { Stack } from './lib/stack.ts';
import { type Outcome, toSummary } from './lib/summary.ts';

const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => interrupted.abort(128 + constants.signals[signal]));
}
process.exit(await main());

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { profile: { type: 'string' } },
    allowPositionals: true,
  });
  const selected = selectBenchmarks(positionals);
  if (selected.length === 0) {
    console.error(`No benchmark is called ${positionals.join(' ')}. Subjects: ${SUBJECTS.join(' ')}.`);
    console.error(`Names: ${BENCHMARKS.map(({ name }) => name).join(' ')}.`);
    return 1;
  }
  const profiler = values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${values.profile}`];
  await using stack = await Stack.open(profiler);
  return await Promise.race([runAll(stack, selected), interruption()]);
}

async function runAll(stack: Stack, benchmarks: readonly Benchmark[]): Promise<number> {
  const outcomes: Outcome[] = [];
  for (const benchmark of benchmarks) {
    console.error(`${benchmark.name} (${outcomes.length + 1} of ${benchmarks.length})`);
    const outcome = await runOne(stack, benchmark);
    if (interrupted.signal.aborted) break;
    console.error(`  took ${outcome.seconds.toFixed(1)} s`);
    outcomes.push(outcome);
  }
  console.error(`\n${toSummary(outcomes)}`);
  return outcomes.some(({ measurements }) => measurements === undefined) ? 1 : 0;
}

async function runOne(stack: Stack, benchmark: Benchmark): Promise<Outcome> {
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;
  try {
    const measurements = await benchmark.run(stack);
    for (const measurement of measurements) console.log(JSON.stringify(measurement));
    return { benchmark, measurements, seconds: seconds() };
  } catch (error) {
    if (!interrupted.signal.aborted) console.error(error);
    return { benchmark, measurements: undefined, seconds: seconds() };
  }
}

function interruption(): Promise<number> {
  const { signal } = interrupted;
  return new Promise((resolve) => {
    if (signal.aborted) resolve(signal.reason);
    else signal.addEventListener('abort', () => resolve(signal.reason), { once: true });
  });
}
