import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { type App, app } from '../../test/kit/app.ts';
import { limitScripts } from '../../test/kit/limit-scripts.ts';
import { createRandom } from '../../test/kit/random.ts';
import { type FreshRedis, freshRedis } from '../../test/kit/redis.ts';
import { until } from '../../test/kit/until.ts';
import { callScript, loadScript, type Script } from '../redis/script.ts';
import type { Bucket } from '../rpc/interceptors/rate-limit.ts';
import type { LimitCache, Taken } from './cache.ts';
import { CallLeases } from './call-leases.ts';

const SHARE = 0.05;
const quota = { subject: '', limit: 0, description: '' };

/** Instances with a clock that only the test moves, and the real script in a Redis that uses this clock. */
class Simulation {
  readonly random = createRandom(Date.now() % 1e9);
  readonly redis: FreshRedis;
  readonly script: Script;
  readonly instances: CallLeases[];
  readonly admitted = new Map<string, number[]>();
  clock = 1e9;
  commands = 0;
  rejected = 0;
  #step = 0;
  #isRefilling = false;
  #inFlight: { readonly step: number; readonly run: () => Promise<void> }[] = [];

  constructor(redis: FreshRedis, instances: number) {
    this.redis = redis;
    const { name, lua } = loadScript(import.meta.dirname, 'take-calls');
    // Keys do not expire, as that happens by the clock of the machine.
    const clock = `local server = redis
      local redis = { call = function(command, key, value)
        if command == 'TIME' then return { ARGV[#ARGV - 1], ARGV[#ARGV] } end
        if command == 'SET' then return server.call('SET', key, value) end
        return server.call(command, key)
      end }\n`;
    this.script = { name, lua: clock + lua, sha1: 'none' };
    const parts = {
      share: SHARE,
      now: () => this.clock,
      take: (...parameters: Parameters<LimitCache['take']>) => this.#send(...parameters),
    };
    this.instances = Array.from({ length: instances }, () => new CallLeases(parts));
  }

  /** Moves the clock. The commands of calls reach Redis before that; those that refill leases, some steps later. */
  async advance(ms: number): Promise<void> {
    await this.#settle();
    this.clock += ms;
    this.#step += 1;
    await this.#settle();
  }

  async #settle(): Promise<void> {
    for (;;) {
      const due = this.#inFlight.filter(({ step }) => step <= this.#step);
      if (due.length === 0) return;
      this.#inFlight = this.#inFlight.filter(({ step }) => step > this.#step);
      for (const { run } of due) await run();
      await nextTurn();
    }
  }

  async call(instance: number, buckets: readonly Bucket[]): Promise<void> {
    const leases = this.instances[instance];
    if (leases === undefined) throw new RangeError('no such instance');
    if (leases.spend(buckets)) {
      this.#isRefilling = true;
      for (const bucket of buckets) if (leases.isLow(bucket)) void leases.refill(bucket);
      this.#isRefilling = false;
    } else if ((await leases.take(buckets)) !== undefined) {
      this.rejected += 1;
      return;
    }
    for (const { key } of buckets) this.#timesOf(key).push(this.clock);
  }

  timesOf(key: string): readonly number[] {
    return this.#timesOf(key);
  }

  #timesOf(key: string): number[] {
    const times = this.admitted.get(key) ?? [];
    this.admitted.set(key, times);
    return times;
  }

  #send(...parameters: Parameters<LimitCache['take']>): Promise<Taken> {
    this.commands += 1;
    return new Promise((resolve, reject) => {
      const run = () => this.#take(...parameters).then(resolve, reject);
      const delay = this.#isRefilling ? 1 + this.random.below(3) : 0;
      this.#inFlight.push({ step: this.#step + delay, run });
    });
  }

  async #take(...[buckets, wanted, share]: Parameters<LimitCache['take']>): Promise<Taken> {
    const counts = buckets.flatMap(({ perMinute, burstMs }, index) => [
      perMinute,
      burstMs,
      wanted[index] ?? 0,
    ]);
    const seconds = 1_700_000_000 + Math.floor(this.clock / 1000);
    const time = [seconds, (this.clock % 1000) * 1000];
    const keys = buckets.map(({ key }) => key);
    const reply = await callScript(this.redis.client, this.script, keys, share, ...counts, ...time);
    const exceeded = reply.number('exceeded');
    if (exceeded > 0) return { exceeded: { index: exceeded - 1, waitMs: reply.number('wait_us') / 1000 } };
    const numbers = reply.texts('leases').map(Number);
    const leases = buckets.map((_, index) => {
      const [calls = 0, startUs = 0] = numbers.slice(2 * index);
      return { calls, startMs: startUs / 1000 };
    });
    return { leases };
  }
}

/** Fails if there is a time in which more calls were made than the bucket contains and gains. */
function assertWithin({ key, perMinute, burstMs }: Bucket, times: readonly number[], seed: string): void {
  const callMs = 60_000 / perMinute;
  let full = 0;
  for (const time of times) {
    full = Math.max(full, time) + callMs;
    assert.ok(full - time <= burstMs + 0.01, `${seed}: ${key} has ${full - time - burstMs} ms too many`);
  }
}

/** The calls that a bucket would contain without leases. */
function contentOf({ perMinute, burstMs }: Bucket, times: readonly number[], now: number): number {
  const callMs = 60_000 / perMinute;
  const full = times.reduce((tat, time) => Math.max(tat, time) + callMs, 0);
  return (burstMs - Math.max(0, full - now)) / callMs;
}

describe('leased calls', () => {
  let redis: FreshRedis;
  let buckets = 0;
  before(async () => {
    redis = await freshRedis();
  });
  after(() => redis.close());

  const bucketOf = (perMinute: number, burstMs: number): Bucket => {
    buckets += 1;
    return { key: `{1}:${buckets}`, perMinute, burstMs, isLeased: true, quota };
  };

  it('are never more than the limit in any time, and fewer only by the share of each instance', async (t) => {
    const simulation = new Simulation(redis, 4);
    const { random } = simulation;
    const seed = `TEST_SEED=${random.seed}`;
    t.diagnostic(seed);
    const tenant = bucketOf(6_000, 2_000);
    const users = [bucketOf(2_000, 3_000), bucketOf(2_400, 3_000), bucketOf(4_000, 3_000)];
    for (let phase = 0; phase < 6; phase += 1) {
      const instances = 1 + random.below(4);
      const [stepMs, calls] = [1 + random.below(30), 1 + random.below(4)];
      for (let step = 0; step < 50; step += 1) {
        for (let call = random.below(calls + 1); call > 0; call -= 1)
          void simulation.call(random.below(instances), [random.pick(users), tenant]);
        await simulation.advance(random.below(stepMs));
      }
      // The bucket is full again, and what the instances held has lapsed: all of them use it up at once.
      await simulation.advance(tenant.burstMs + random.below(1_000));
      for (let call = 0; call < 62; call += 1)
        for (let instance = 0; instance < 4; instance += 1) void simulation.call(instance, [tenant]);
      await simulation.advance(random.below(3_000));
    }
    // Three instances get leases. Then another makes more calls than are permitted, while they still hold some.
    for (let step = 0; step < 75; step += 1) {
      void simulation.call(1 + (step % 3), [tenant]);
      await simulation.advance(13);
    }
    const began = simulation.clock;
    const before = simulation.timesOf(tenant.key).length;
    const content = contentOf(tenant, simulation.timesOf(tenant.key), began);
    while (simulation.clock < began + 2 * tenant.burstMs) {
      for (let call = 0; call < 4; call += 1) void simulation.call(0, [tenant]);
      await simulation.advance(10 + random.below(10));
    }
    const admitted = simulation.timesOf(tenant.key).length - before;
    const permitted = content + ((simulation.clock - began) * tenant.perMinute) / 60_000;
    const held = ((SHARE * tenant.perMinute * tenant.burstMs) / 60_000) * simulation.instances.length;
    assert.ok(simulation.rejected > 0, seed);
    assert.ok(admitted >= permitted - held - 4, `${seed}: ${admitted} of ${permitted}`);
    for (const bucket of [tenant, ...users]) assertWithin(bucket, simulation.timesOf(bucket.key), seed);
  });

  it('need few commands while calls are frequent', async () => {
    const simulation = new Simulation(redis, 1);
    const bucket = bucketOf(10_000, 5_000);
    for (let call = 0; call < 300; call += 1) {
      void simulation.call(0, [bucket]);
      await simulation.advance(10);
    }
    await simulation.advance(10);
    assert.equal(simulation.timesOf(bucket.key).length, 300);
    assert.ok(simulation.commands < 60, `${simulation.commands} commands`);
  });

  it('need few commands while calls are frequent and far below the limit', async () => {
    const simulation = new Simulation(redis, 1);
    const bucket = bucketOf(60_000, 60_000);
    for (let call = 0; call < 300; call += 1) {
      void simulation.call(0, [bucket]);
      await simulation.advance(20);
    }
    assert.ok(simulation.commands < 60, `${simulation.commands} commands`);
  });

  it('are not taken by rare calls', async () => {
    const simulation = new Simulation(redis, 1);
    const bucket = bucketOf(10_000, 5_000);
    for (let call = 0; call < 10; call += 1) {
      void simulation.call(0, [bucket]);
      await simulation.advance(1_500);
    }
    await simulation.advance(1);
    assert.equal(simulation.commands, 10);
    const script = { ...simulation.script, lua: `return { 'tat', redis.call('GET', KEYS[1]) }` };
    const reply = await callScript(redis.client, script, [bucket.key]);
    const lastMs = reply.number('tat') / 1000 - (simulation.timesOf(bucket.key).at(-1) ?? 0);
    assert.ok(Math.abs(lastMs - 6) < 0.01, `full ${lastMs} ms after the last call`);
  });
});

describe('calls of one user to two instances', () => {
  let the: App;
  before(async () => {
    the = await app({
      LIMIT_READ_PER_MINUTE: '200',
      LIMIT_REDIS_TIMEOUT_MS: '2000',
      LIMIT_REJECTION_DELAY_MS: '20',
    });
    await the.start();
    for (const { deps } of the.instances) await until(() => deps.redis.status === 'ready');
  });
  after(() => the.close());

  it('are admitted up to the limit, with few commands', async () => {
    const clients = [0, 1].map((instance) =>
      the.client(MemberService, { userId: 1n, tenantId: 1n }, 'grpc', instance),
    );
    using scripts = await limitScripts(the.redis.client);
    const began = performance.now();
    let admitted = 0;
    for (let rejected = 0; rejected < 10; ) {
      const results = await Promise.allSettled(clients.map((client) => client.getUnreadSummary({})));
      rejected += results.filter(({ status }) => status === 'rejected').length;
      admitted += results.filter(({ status }) => status === 'fulfilled').length;
    }
    const most = 200 + ((performance.now() - began) * 200) / 60_000;
    assert.ok(admitted >= 200 - 2 * 10 && admitted <= most, `${admitted} of ${most}`);
    const commands = scripts.keys.filter((key) => key.endsWith(':read:1')).length;
    assert.ok(commands < admitted, `${commands} commands for ${admitted} calls`);
  });
});
