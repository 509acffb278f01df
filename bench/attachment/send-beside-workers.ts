import { setTimeout as sleep } from 'node:timers/promises';
import { Child } from '../../scripts/lib/child.ts';
import type { Pool } from '../../src/db/types.ts';
import { type Benchmark, ratioAtMost } from '../lib/benchmark.ts';
import { createCallers } from '../lib/callers.ts';
import { createChannels, users } from '../lib/channels.ts';
import { GrpcClient } from '../lib/grpc-client.ts';
import { p99AtRate } from '../lib/load.ts';
import { type Measurement, RUNS, toMeasurement } from '../lib/measure.ts';
import type { Stack } from '../lib/stack.ts';
import type { BareWorkerCommands } from '../processes/bare-workers.ts';
import { FileServers, insertFiles, untilScanned } from './files.ts';

const MB = 1 << 20;
const USERS = 20;
const PER_SECOND = 40;
const MESSAGES = 320;
const REPEAT_MS = 50;
const FILE_BYTES = 10 * MB;
const PHOTO = { width: 4_000, height: 3_000 };

/**
 * p99 of sends to an instance that scans files and creates thumbnails without a pause, over p99 without files, and over p99
 * beside clamd and sharp that have the same work without the service.
 */
export const sendBesideWorkers: Benchmark = {
  name: 'send_beside_workers',
  subject: 'attachment',
  isHeadline: false,
  goals: { send_beside_workers: ratioAtMost(1.5) },
  run,
};

async function run(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  const sql = database.owner(2);
  const [channel, ofFiles] = await createChannels(sql, [users(USERS), users(1)]);
  if (channel === undefined) throw new RangeError('there is no channel');
  const callerAt = await createCallers(stack, [channel], users(USERS), USERS);
  await using servers = await FileServers.open();
  const files = await putFiles(servers);
  await using service = await stack.service(database, await servers.settings());
  await using bare = await Child.start<BareWorkerCommands>('bench/processes/bare-workers.ts');
  using client = new GrpcClient((await service.call('addresses')).grpc);

  const send = () => p99AtRate(PER_SECOND, MESSAGES, (index) => client.send(index, callerAt(index)));
  const sendBeside = async () => {
    const stop = new AbortController();
    const working = scanAgain(sql, stop.signal);
    const p99 = await send();
    stop.abort();
    console.error(`  ${await working} scans`);
    await untilScanned(sql);
    return p99;
  };
  const sendBesideBare = async () => {
    await bare.call('start', {
      ...PHOTO,
      address: servers.scanner,
      fileBytes: FILE_BYTES,
      pauseMs: REPEAT_MS,
    });
    const p99 = await send();
    console.error(`  ${await bare.call('stop')} scans without the service`);
    return p99;
  };
  await insertFiles(sql, ofFiles?.id ?? 0n, files);
  await untilScanned(sql);
  await send();
  const times: Record<'idle' | 'beside' | 'bare', number[]> = { idle: [], beside: [], bare: [] };
  for (let run = 0; run < RUNS; run++) {
    times.idle.push(await send());
    times.bare.push(await sendBesideBare());
    times.beside.push(await sendBeside());
  }
  return [
    toMeasurement('send_beside_workers', 'ms', times.beside, times.idle),
    toMeasurement('send_beside_bare_workers', 'ms', times.bare, times.idle),
  ];
}

async function putFiles({ store }: FileServers) {
  await store.call('putBytes', { key: 'bench/file', size: FILE_BYTES });
  const size = await store.call('putPhoto', { key: 'bench/photo', ...PHOTO });
  const photo = { key: 'bench/photo', size, type: 'image/jpeg' };
  const file = { key: 'bench/file', size: FILE_BYTES, type: 'application/octet-stream' };
  return [photo, file, photo, file, photo, photo];
}

/** Returns the number of scans. */
async function scanAgain(sql: Pool, signal: AbortSignal): Promise<number> {
  let scans = 0;
  while (!signal.aborted) {
    const again = await sql`
      update attachments set scan_status = 'PENDING', scan_attempts = 0, next_scan_at = 0 where scan_status = 'CLEAN' returning id
    `;
    scans += again.length;
    await sleep(REPEAT_MS);
  }
  return scans;
}
