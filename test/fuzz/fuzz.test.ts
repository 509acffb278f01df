import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createRandom } from '../kit/random.ts';
import { attacksOn } from './attacks.ts';
import { CallReport, fuzzCalls } from './calls.ts';
import { attackOnce, createAttackedChannel, MEMORY_GROWTH } from './run.ts';
import { FUZZ_SETTINGS, Target } from './target.ts';

// The short form of `npm run fuzz`.
const CALLS_PER_METHOD = 5;
// 20,000 of them.
const RESETS_SIZE = 10;

const random = createRandom(Date.now() % 1_000_000);

describe(`an instance with hostile callers (TEST_SEED=${random.seed})`, () => {
  let target: Target;
  let channelId: bigint;

  before(async () => {
    target = await Target.open(FUZZ_SETTINGS);
    channelId = await createAttackedChannel(target);
  });
  after(() => target[Symbol.asyncDispose]());

  it('has no unexpected error, logged exception or lost memory after random requests', async () => {
    const report = new CallReport();
    const { live } = await target.instance.memory();
    await fuzzCalls(target, random, CALLS_PER_METHOD, report);
    assert.deepEqual(report.violations, []);
    assert.deepEqual(await target.problems(), []);
    await target.memoryReturns(live, MEMORY_GROWTH);
  });

  it('is healthy right after 20,000 calls that are reset', async () => {
    const attacks = [...attacksOn('grpc', channelId), ...attacksOn('web', channelId)];
    for (const { name, run } of attacks.filter((attack) => attack.name.includes('rapid reset'))) {
      using _held = await run(target, RESETS_SIZE);
      assert.ok(await target.becomesHealthy(), name);
    }
    assert.deepEqual(await target.problems(), []);
  });

  for (const edge of ['grpc', 'web'] as const)
    it(`survives abuse of HTTP on the ${edge} edge, and keeps no memory`, async () => {
      const { live } = await target.instance.memory();
      for (const each of attacksOn(edge, channelId)) await attackOnce(target, each);
      await target.memoryReturns(live, MEMORY_GROWTH);
    });
});
