import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from '../../src/db/types.ts';
import { type Benchmark, ratioAtMost } from '../lib/benchmark.ts';
import { createCallers } from '../lib/callers.ts';
import { createChannels, users } from '../lib/channels.ts';
import { GrpcClient } from '../lib/grpc-client.ts';
import { p99AtRate } from '../lib/load.ts';
import { compare, type Measurement } from '../lib/measure.ts';
import type { Stack } from '../lib/stack.ts';
import { FileServers, insertFiles, untilScanned } from './files.ts';

const MB = 1 << 20;
const USERS = 20;
const PER_SECOND = 40;
const MESSAGES = 320;
const REPEAT_MS = 50;

/** p99 of sends to an instance that scans files and creates thumbnails without a pause, over p99 without files. */
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
  await insertFiles(sql, ofFiles?.id ?? 0n, files);
  await untilScanned(sql);
  await send();
  return [await compare('send_beside_workers', 'ms', sendBeside, send)];
}

async function putFiles({ store }: FileServers) {
  await store.call('putBytes', { key: 'bench/file', size: 10 * MB });
  const size = await store.call('putPhoto', { key: 'bench/photo', width: 4_000, height: 3_000 });
  const photo = { key: 'bench/photo', size, type: 'image/jpeg' };
  const file = { key: 'bench/file', size: 10 * MB, type: 'application/octet-stream' };
  return [photo, file, photo, file, photo, photo];
}

/** Returns the number of scans. */
async function scanAgain(sql: Pool, signal: AbortSignal): Promise<number> {
  let scans = 0;
  while (!signal.aborted) {
    const again = await sql`
      update attachments set scan_status = 'PENDING', next_scan_at = 0 where scan_status = 'CLEAN' returning id
    `;
    scans += again.length;
    await sleep(REPEAT_MS);
  }
  return scans;
}
