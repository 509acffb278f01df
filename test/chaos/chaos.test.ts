import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { hasPostgresProgram } from '../../scripts/lib/postgres.ts';
import { scannerFails, storeFails } from './faults/files.ts';
import { instanceKilled, rollingRestart } from './faults/instances.ts';
import { postgresCrashed, postgresReset } from './faults/postgres.ts';
import { redisDropping, redisStopped } from './faults/redis.ts';
import { checkFinally, injectFault } from './run.ts';
import { TestCluster } from './test-cluster.ts';

const SIZE = { channels: 4, senders: 6, subscribers: 12, perSecond: 40 };
// `npm run chaos` has more of them, and for longer.
const FAULTS = [
  storeFails('down', 600),
  scannerFails('down', 600),
  redisStopped(2_500),
  redisDropping(2_000),
];
// Beside jobs, which take time from the deliveries that the others bound.
const FAULTS_OF_JOBS = [postgresCrashed(500), postgresReset(4), instanceKilled(1), rollingRestart(1)];

const skip = (await hasPostgresProgram()) ? false : 'no PostgreSQL program to stop: set POSTGRES_BIN';

describe('two instances under load, while faults are injected', { skip }, () => {
  let cluster: TestCluster;

  before(async () => {
    // The log is polled twice as often as by default, because other tests keep the machine busy.
    cluster = await TestCluster.open(SIZE, 20_261_122, { EVENT_POLL_MS: '500' });
    console.log(`# seed ${cluster.random.seed}`);
  });
  after(() => cluster[Symbol.asyncDispose]());

  for (const fault of [...FAULTS, ...FAULTS_OF_JOBS]) {
    it(`keep their guarantees during ${fault.name}`, async () => {
      if (fault === FAULTS_OF_JOBS[0]) await cluster.startJobs();
      const report = await injectFault(cluster, fault);
      assert.deepEqual(report.violations, [], JSON.stringify(report));
    });
  }

  it('store each acknowledged message once, in one order, with correct unread counts, search results and scanned files', async () => {
    assert.deepEqual((await checkFinally(cluster, [])).violations, []);
    // The jobs of each round ended once, with the right counts.
    assert.ok((cluster.jobs?.rounds.length ?? 0) > 0);
  });
});
