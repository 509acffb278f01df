// usage: npm run chaos [-- part of a fault's name ...]
import { setTimeout as sleep } from 'node:timers/promises';
import { scannerFails, storeFails } from '../test/chaos/faults/files.ts';
import { instanceFrozen, instanceKilled, rollingRestart } from '../test/chaos/faults/instances.ts';
import {
  poolFull,
  postgresCrashed,
  postgresCut,
  postgresFailover,
  postgresReset,
  postgresSilent,
  postgresStalled,
} from '../test/chaos/faults/postgres.ts';
import { readersPaused } from '../test/chaos/faults/readers.ts';
import {
  redisDropping,
  redisFlushed,
  redisRestarted,
  redisSilent,
  redisStalled,
  redisStopped,
} from '../test/chaos/faults/redis.ts';
import { finalReportLines, heading, reportLines } from '../test/chaos/print.ts';
import { checkFinally, type Fault, injectFault, measureMemory } from '../test/chaos/run.ts';
import { TestCluster } from '../test/chaos/test-cluster.ts';

const FAULTS: readonly Fault[] = [
  instanceKilled(4),
  instanceFrozen(8_000),
  rollingRestart(6),
  redisStopped(8_000),
  redisRestarted(6),
  redisFlushed(6),
  redisDropping(8_000),
  redisStalled(8_000),
  redisSilent(10_000),
  postgresCrashed(3_000),
  postgresCut(8),
  postgresReset(8),
  postgresStalled(6_000),
  postgresSilent(12_000),
  poolFull(6_000),
  storeFails('down', 8_000),
  storeFails('slow', 8_000),
  storeFails('stall', 8_000),
  scannerFails('down', 8_000),
  scannerFails('slow', 8_000),
  scannerFails('stall', 8_000),
  readersPaused(1, 60_000, 20),
  readersPaused(200, 10_000, 40),
  // Last, because it cannot be undone.
  postgresFailover(),
];
const SIZE = { channels: 6, senders: 10, subscribers: 24, perSecond: 100 };
const WARM_MS = 15_000;
const LIMIT_MS = 600_000;

const late = setTimeout(() => {
  console.error(`not finished after ${LIMIT_MS / 1_000} s`);
  process.exit(1);
}, LIMIT_MS);
process.exitCode = (await main(process.argv.slice(2))) ? 0 : 1;
clearTimeout(late);

/** Returns whether all guarantees were kept. */
async function main(wanted: readonly string[]): Promise<boolean> {
  const faults = FAULTS.filter(
    ({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)),
  );
  if (faults.length === 0)
    throw new Error(`no fault of that name; the faults are ${FAULTS.map(({ name }) => name).join(', ')}`);
  const seed = Number(process.env['TEST_SEED'] ?? Date.now() % 1_000_000);
  console.error(`seed ${seed} (set TEST_SEED to it to repeat the random choices)`);
  await using cluster = await TestCluster.open(SIZE, seed);
  await sleep(WARM_MS);
  const before = await measureMemory(cluster);
  cluster.startSending();
  await cluster.startJobs();
  let violations = 0;
  console.error(heading());
  for (const fault of faults) {
    const report = await injectFault(cluster, fault);
    violations += report.violations.length;
    console.log(JSON.stringify(report));
    for (const line of reportLines(report)) console.error(line);
  }
  const finalReport = await checkFinally(cluster, before);
  console.log(JSON.stringify(finalReport));
  for (const line of finalReportLines(finalReport)) console.error(line);
  return violations + finalReport.violations.length === 0;
}
