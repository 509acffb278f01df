import { type Benchmark, valueAtMost } from '../lib/benchmark.ts';
import { createChannels, users } from '../lib/channels.ts';
import { type Measurement, toMeasurement } from '../lib/measure.ts';
import type { Stack } from '../lib/stack.ts';
import { FileServers, insertFiles, untilScanned } from './files.ts';

const MB = 1 << 20;
const FILES = 50;
const FILE_MB = 100;
const SAMPLE_MS = 50;

/**
 * MB by which an instance grows while it scans 50 files of 100 MB, over those that it has before, and what remains after a
 * garbage collection.
 */
export const scanMemory: Benchmark = {
  name: 'scan_memory',
  subject: 'attachment',
  isHeadline: false,
  goals: { scan_memory: valueAtMost(100) },
  run,
};

async function run(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  const sql = database.owner(2);
  const [channel] = await createChannels(sql, [users(1)]);
  await using servers = await FileServers.open();
  await servers.store.call('putBytes', { key: 'bench/file', size: FILE_MB * MB });
  await using service = await stack.service(database, await servers.settings());
  const before = (await service.call('memory')) / 1024;
  let peak = 0;
  const timer = setInterval(async () => {
    peak = Math.max(peak, (await service.call('resident')) / 1024);
  }, SAMPLE_MS);
  const file = { key: 'bench/file', size: FILE_MB * MB, type: 'application/octet-stream' };
  await insertFiles(sql, channel?.id ?? 0n, Array(FILES).fill(file));
  await untilScanned(sql).finally(() => clearInterval(timer));
  const after = (await service.call('memory')) / 1024;
  return [
    toMeasurement('scan_memory', 'MB', [peak - before], [before]),
    toMeasurement('scan_memory_kept', 'MB', [after - before], [before]),
  ];
}
