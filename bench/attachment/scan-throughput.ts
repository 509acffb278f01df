import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { scan } from '../../src/attachment/clamd.ts';
import type { Benchmark } from '../lib/benchmark.ts';
import { ratioAtLeast } from '../lib/benchmark.ts';
import { createChannels, users } from '../lib/channels.ts';
import { compare, type Measurement } from '../lib/measure.ts';
import type { Stack } from '../lib/stack.ts';
import { FileServers, insertFiles, untilScanned } from './files.ts';

const MB = 1 << 20;
const FILES = 6;
const FILE_MB = 40;
// As SCAN_CONCURRENCY.
const CONCURRENCY = 2;
const CHUNK = 65_536;

/** MB per second that an instance scans, over those of clamd without store and service. */
export const scanThroughput: Benchmark = {
  name: 'scan_throughput',
  subject: 'attachment',
  isHeadline: false,
  goals: { scan_throughput: ratioAtLeast(0.7) },
  run,
};

async function run(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  const sql = database.owner(2);
  const [channel] = await createChannels(sql, [users(1)]);
  await using servers = await FileServers.open();
  await servers.store.call('putBytes', { key: 'bench/file', size: FILE_MB * MB });
  await using _service = await stack.service(database, await servers.settings());
  const file = { key: 'bench/file', size: FILE_MB * MB, type: 'application/octet-stream' };
  const bytes = randomBytes(FILE_MB * MB);

  const throughService = () =>
    megabytesPerSecond(async () => {
      await insertFiles(sql, channel?.id ?? 0n, Array(FILES).fill(file));
      await untilScanned(sql);
    });
  const bare = () =>
    megabytesPerSecond(async () => {
      await Promise.all(
        Array.from({ length: CONCURRENCY }, async () => {
          for (let index = 0; index < FILES / CONCURRENCY; index++) await scanBytes(servers.scanner, bytes);
        }),
      );
    });
  await throughService();
  return [await compare('scan_throughput', 'MB/s', throughService, bare)];
}

async function megabytesPerSecond(work: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await work();
  return (FILES * FILE_MB * 1_000) / (performance.now() - began);
}

async function scanBytes(address: string, bytes: Buffer): Promise<void> {
  const chunks = Array.from({ length: bytes.length / CHUNK }, (_, index) =>
    bytes.subarray(index * CHUNK, (index + 1) * CHUNK),
  );
  const file = { open: async () => Readable.from(chunks), inspect() {} };
  const { status } = await scan(address, file, AbortSignal.timeout(120_000));
  if (status !== 'CLEAN') throw new Error(`the file is ${status}`);
}
