// usage: npm run bench [-- [--profile=folder] name or beginning of a name ...]
// Prints a line of JSON for each measurement; what it is doing goes to stderr.
import { constants } from 'node:os';
import { parseArgs } from 'node:util';
import { cacheGain } from './cache-gain.ts';
import { fanout } from './fanout.ts';
import { historyPage } from './history-page.ts';
import { latency } from './latency.ts';
import type { Measurement } from './lib/measure.ts';
import { Stack } from './lib/stack.ts';
import { listChannels } from './list-channels.ts';
import { noisyNeighbour } from './noisy-neighbour.ts';
import { presenceStorm } from './presence-storm.ts';
import { reactionsHot } from './reactions-hot.ts';
import { replay } from './replay.ts';
import { search } from './search.ts';
import { sendFlat } from './send-flat.ts';
import { sendVsDocument } from './send-vs-document.ts';
import { sendVsNoop } from './send-vs-noop.ts';
import { streamMemory } from './stream-memory.ts';
import { tenThousandStreams } from './ten-thousand-streams.ts';
import { typingFanout } from './typing-fanout.ts';

type Bench = {
  readonly name: string;
  /** What the ratio should be. */
  readonly goal: string;
  readonly run: (stack: Stack) => Promise<Measurement[]>;
  /** Runs only when named: it takes minutes by itself. */
  readonly byName?: true;
};

const BENCHES: readonly Bench[] = [
  { name: 'send_vs_noop', goal: '>= 0.4', run: sendVsNoop },
  { name: 'send_vs_document_10', goal: '>= 5', run: (stack) => sendVsDocument(stack, 10) },
  { name: 'send_vs_document_100', goal: '>= 20', run: (stack) => sendVsDocument(stack, 100) },
  { name: 'send_vs_document_1000', goal: '>= 200', run: (stack) => sendVsDocument(stack, 1000) },
  { name: 'send_flat', goal: '>= 0.9', run: sendFlat },
  { name: 'fanout_grpc', goal: '<= 1.5', run: (stack) => fanout(stack, 'grpc') },
  { name: 'fanout_web', goal: '<= 2', run: (stack) => fanout(stack, 'web') },
  { name: 'stream_memory_grpc', goal: '<= 25 KB', run: (stack) => streamMemory(stack, 'grpc') },
  { name: 'stream_memory_web', goal: '<= 70 KB', run: (stack) => streamMemory(stack, 'web') },
  { name: 'replay', goal: '>= 1', run: replay },
  { name: 'noisy_neighbour', goal: '<= 5, without limits <= 15', run: noisyNeighbour },
  { name: 'latency', goal: 'none', run: latency },
  { name: 'ten_thousand_streams', goal: '<= 25 KB', run: tenThousandStreams },
  { name: 'list_channels', goal: '<= 3', run: listChannels },
  { name: 'history_page', goal: '<= 4', run: historyPage },
  { name: 'reactions_hot', goal: '>= 2', run: reactionsHot },
  { name: 'cache_gain', goal: '<= 0.9, missed <= 1.15', run: cacheGain },
  { name: 'presence_storm', goal: 'each <= 1', run: presenceStorm },
  { name: 'typing_fanout', goal: '<= 2', run: typingFanout },
  { name: 'search', goal: '<= 0.5', run: search, byName: true },
];

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
  const chosen = BENCHES.filter(
    ({ name, byName }) =>
      (positionals.length === 0 && byName !== true) || positionals.some((wanted) => name.startsWith(wanted)),
  );
  if (chosen.length === 0) {
    console.error(`There is no ${positionals.join(' ')}, only ${BENCHES.map(({ name }) => name).join(' ')}.`);
    return 1;
  }
  const profiler = values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${values.profile}`];
  await using stack = await Stack.open(profiler);
  return await Promise.race([runAll(stack, chosen), interruption()]);
}

async function runAll(stack: Stack, benches: readonly Bench[]): Promise<number> {
  let code = 0;
  for (const { name, goal, run } of benches) {
    console.error(`${name} (goal ${goal})`);
    try {
      for (const measurement of await run(stack)) console.log(JSON.stringify(measurement));
    } catch (error) {
      if (interrupted.signal.aborted) break;
      console.error(error);
      code = 1;
    }
  }
  return code;
}

function interruption(): Promise<number> {
  const { signal } = interrupted;
  return new Promise((resolve) => {
    if (signal.aborted) resolve(signal.reason);
    else signal.addEventListener('abort', () => resolve(signal.reason), { once: true });
  });
}
