// usage: npm run chaos [-- part of a fault's name ...]
import { setTimeout as sleep } from 'node:timers/promises';
import { instanceFrozen, instanceKilled, rollingRestart } from '../test/chaos/faults/instances.ts';
import {
  poolFull,
  postgresCrashed,
  postgresCut,
  postgresReset,
  postgresStalled,
} from '../test/chaos/faults/postgres.ts';
import { readersAsleep } from '../test/chaos/faults/readers.ts';
import {
  redisDropping,
  redisFlushed,
  redisRestarted,
  redisStalled,
  redisStopped,
} from '../test/chaos/faults/redis.ts';
import { conclusionLines, heading, reportLines } from '../test/chaos/print.ts';
import { conclude, type Fault, inflict, measureMemory } from '../test/chaos/run.ts';
import { TestCluster } from '../test/chaos/world.ts';

const FAULTS: readonly Fault[] = [
  instanceKilled(4),
  instanceFrozen(8_000),
  rollingRestart(6),
  redisStopped(8_000),
  redisRestarted(6),
  redisFlushed(6),
  redisDropping(8_000),
  redisStalled(8_000),
  postgresCrashed(3_000),
  postgresCut(8),
  postgresReset(8),
  postgresStalled(6_000),
  poolFull(6_000),
  readersAsleep(1, 60_000, 20),
  readersAsleep(200, 10_000, 40),
];
const SIZE = { channels: 6, senders: 10, subscribers: 24, perSecond: 100 };
const WARM_MS = 15_000;
const LIMIT_MS = 600_000;

const late = setTimeout(() => {
  console.error(`not over after ${LIMIT_MS / 1_000} s`);
  process.exit(1);
}, LIMIT_MS);
process.exitCode = (await main(process.argv.slice(2))) ? 0 : 1;
clearTimeout(late);

/** Whether all promises were kept. */
async function main(wanted: readonly string[]): Promise<boolean> {
  const faults = FAULTS.filter(
    ({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)),
  );
  if (faults.length === 0)
    throw new Error(`no fault of that name; there are ${FAULTS.map(({ name }) => name)}`);
  const seed = Number(process.env['TEST_SEED'] ?? Date.now() % 1_000_000);
  console.error(`seed ${seed} (give it as TEST_SEED for the same choices)`);
  await using world = await TestCluster.open(SIZE, seed);
  await sleep(WARM_MS);
  const before = await measureMemory(world);
  world.startSending();
  let broken = 0;
  console.error(heading());
  for (const fault of faults) {
    const report = await inflict(world, fault);
    broken += report.broken.length;
    console.log(JSON.stringify(report));
    for (const line of reportLines(report)) console.error(line);
  }
  const conclusion = await conclude(world, before);
  console.log(JSON.stringify(conclusion));
  for (const line of conclusionLines(conclusion)) console.error(line);
  return broken + conclusion.broken.length === 0;
}
