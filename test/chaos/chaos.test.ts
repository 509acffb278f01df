import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { hasPostgresProgram } from '../../scripts/lib/postgres.ts';
import { instanceKilled, rollingRestart } from './faults/instances.ts';
import { postgresCrashed, postgresReset } from './faults/postgres.ts';
import { redisDropping, redisStopped } from './faults/redis.ts';
import { conclude, inflict } from './run.ts';
import { TestCluster } from './world.ts';

const SIZE = { channels: 4, senders: 6, subscribers: 12, perSecond: 60 };
// `npm run chaos` has more of them, and for longer.
const FAULTS = [
  redisStopped(2_500),
  redisDropping(2_000),
  postgresCrashed(500),
  postgresReset(4),
  instanceKilled(1),
  rollingRestart(1),
];

const skip = (await hasPostgresProgram()) ? false : 'no PostgreSQL of our own to hurt: set POSTGRES_BIN';

describe('two instances under load, while things go wrong', { skip }, () => {
  let world: TestCluster;

  before(async () => {
    // A sweep twice as often as by default: other tests keep the machine busy.
    world = await TestCluster.open(SIZE, 20_261_122, { EVENT_POLL_MS: '500' });
    console.log(`# seed ${world.random.seed}`);
  });
  after(() => world[Symbol.asyncDispose]());

  for (const fault of FAULTS) {
    it(`keep their promises: ${fault.name}`, async () => {
      const report = await inflict(world, fault);
      assert.deepEqual(report.broken, [], JSON.stringify(report));
    });
  }

  it('have each acknowledged message once, in one order, and count what is unread', async () => {
    assert.deepEqual((await conclude(world, [])).broken, []);
  });
});
