import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRandom } from '../../test/kit/random.ts';
import { until } from '../../test/kit/until.ts';
import type { Caller } from '../rpc/call.ts';
import { FairSlots, sharesOf } from './fair-slots.ts';
import { TenantMix } from './tenant-mix.ts';

const callerOf = (tenantId: number, userId: number): Caller => ({
  kind: userId === 0 ? 'service' : 'user',
  tenantId: BigInt(tenantId),
  userId: BigInt(userId),
  name: '',
  roles: new Set(),
});

/** Calls that run until they are ended, by their names. */
class Calls {
  readonly started: string[] = [];
  readonly rejected = new Map<string, unknown>();
  readonly #slots: FairSlots;
  readonly #ends = new Map<string, () => void>();
  readonly #controllers = new Map<string, AbortController>();

  constructor(slots: FairSlots) {
    this.#slots = slots;
  }

  call(name: string, tenantId: number, userId: number): void {
    const caller = callerOf(tenantId, userId);
    const controller = new AbortController();
    this.#controllers.set(name, controller);
    const start = () => {
      this.started.push(name);
      this.#ends.set(name, () => this.#slots.release(caller));
    };
    const turn = this.#slots.acquire({ caller, signal: controller.signal });
    if (turn === undefined) start();
    else void turn.then(start, (error) => this.rejected.set(name, error));
  }

  async end(name: string): Promise<void> {
    this.#ends.get(name)?.();
    await settled();
  }

  async abort(name: string): Promise<void> {
    this.#controllers.get(name)?.abort(new Error('cancelled'));
    await settled();
  }
}

const open = (slots: number, maxWaiting = 100, mix = new TenantMix()) =>
  new FairSlots(slots, maxWaiting, mix);
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('FairSlots', () => {
  it('starts calls at once while slots are free, and gives tenants and their users turns after that', async () => {
    const calls = new Calls(open(2));
    calls.call('a', 1, 1);
    calls.call('b', 2, 1);
    assert.deepEqual(calls.started, ['a', 'b']);
    for (const name of ['a1', 'a2', 'a3']) calls.call(name, 1, 1);
    calls.call('a4', 1, 2);
    calls.call('b1', 2, 1);
    for (const name of ['a', 'b', 'a1', 'a4', 'a2', 'a3', 'b1']) await calls.end(name);
    assert.deepEqual(calls.started, ['a', 'b', 'a1', 'b1', 'a4', 'a2', 'a3']);
  });

  it('gives a tenant at most a half of the slots, and a user an eighth', async () => {
    const calls = new Calls(open(16));
    for (let index = 0; index < 10; index += 1) calls.call(`one ${index}`, 1, 1);
    assert.equal(calls.started.length, 2);
    for (let user = 2; user < 12; user += 1) calls.call(`many ${user}`, 1, user);
    assert.equal(calls.started.length, 8);
    for (let index = 0; index < 10; index += 1) calls.call(`service ${index}`, 2, 0);
    assert.equal(calls.started.length, 16);
    calls.call('third', 3, 1);
    for (const name of ['service 0', 'service 1']) await calls.end(name);
    assert.deepEqual(calls.started.slice(16), ['service 8', 'third']);
  });

  it('gives a tenant less while others make calls', async () => {
    const mix = new TenantMix();
    const calls = new Calls(open(16, 100, mix));
    for (const tenantId of [1n, 2n]) mix.observe(tenantId);
    for (let user = 1; user < 20; user += 1) calls.call(`${user}`, 1, user);
    assert.equal(calls.started.length, 4);
    await calls.end('1');
    assert.equal(calls.started.length, 5);
  });

  it('gives a lagging user one slot, and a pause between two calls', async () => {
    let isLagging = false;
    const slots = new FairSlots(32, 100, new TenantMix(), {
      isLagging: ({ userId }) => userId === 1n && isLagging,
    });
    const calls = new Calls(slots);
    calls.call('a', 1, 1);
    isLagging = true;
    for (const name of ['b', 'c']) calls.call(name, 1, 1);
    for (const name of ['other', 'other too']) calls.call(name, 1, 2);
    assert.deepEqual(calls.started, ['a', 'other', 'other too']);
    // The pause is 16 times as long as the call.
    await sleep(10);
    await calls.end('a');
    const began = performance.now();
    calls.call('d', 1, 1);
    assert.equal(calls.started.length, 3);
    await until(() => calls.started.length > 3);
    assert.ok(performance.now() - began > 100);
    assert.equal(calls.started.at(-1), 'b');
    isLagging = false;
    slots.startWaiting();
    await settled();
    assert.deepEqual(calls.started.slice(-2), ['c', 'd']);
  });

  it('counts the calls of a user whose pause ends while they run', async () => {
    let isLagging = false;
    const calls = new Calls(new FairSlots(32, 100, new TenantMix(), { isLagging: () => isLagging }));
    for (const name of ['a', 'b']) calls.call(name, 1, 1);
    isLagging = true;
    await sleep(5);
    await calls.end('a');
    await sleep(20);
    await calls.end('b');
    isLagging = false;
    // Of 16 times 5 ms, and of 0.25 s.
    await sleep(150);
    calls.call('c', 1, 1);
    await sleep(200);
    for (const name of ['d', 'e', 'f', 'g']) calls.call(name, 1, 1);
    assert.deepEqual(calls.started, ['a', 'b', 'c', 'd', 'e', 'f']);
  });

  it('does not start a call that ended while it waited', async () => {
    const calls = new Calls(open(1));
    for (const name of ['a', 'b', 'c']) calls.call(name, 1, 1);
    await calls.abort('b');
    await calls.end('a');
    assert.deepEqual(calls.started, ['a', 'c']);
    assert.match(String(calls.rejected.get('b')), /cancelled/);
  });

  it('rejects, when too many calls wait, the newest of the user and tenant with the most', async () => {
    const calls = new Calls(open(1, 4));
    for (const name of ['a', 'a1', 'a2', 'a3']) calls.call(name, 1, 1);
    calls.call('b1', 1, 2);
    calls.call('c1', 2, 1);
    await settled();
    assert.deepEqual([...calls.rejected.keys()], ['a3']);
    assert.match(String(calls.rejected.get('a3')), /overloaded: too many calls are waiting/);
    calls.call('a4', 1, 1);
    await settled();
    assert.deepEqual([...calls.rejected.keys()], ['a3', 'a4']);
  });

  const random = createRandom(Date.now() % 1_000_000);
  for (const { name, count, lags } of [
    { name: 'within the limits', count: 8, lags: false },
    { name: 'while users lag from time to time', count: 32, lags: true },
  ])
    it(`starts every call once, ${name} (TEST_SEED=${random.seed})`, async () => {
      const lagging = new Set<bigint>();
      const isLagging = ({ userId }: { readonly userId: bigint }) => lagging.has(userId);
      const slots = new FairSlots(count, 10_000, new TenantMix(), { isLagging });
      const shares = sharesOf(count);
      const running = new Map<string, number>();
      const change = (key: string, by: number) => running.set(key, (running.get(key) ?? 0) + by);
      let ended = 0;
      const call = async (caller: Caller) => {
        const keys = ['all', `tenant ${caller.tenantId}`, `user ${caller.tenantId} ${caller.userId}`];
        await slots.acquire({ caller, signal: new AbortController().signal });
        for (const key of keys) change(key, 1);
        const [all = 0, tenant = 0, user = 0] = keys.map((key) => running.get(key));
        const isWithin = all <= count && tenant <= shares.loneTenant && user <= shares.user;
        assert.ok(isWithin, `${all} ${tenant} ${user}`);
        for (let turn = random.below(4); turn >= 0; turn -= 1) await settled();
        for (const key of keys) change(key, -1);
        ended += 1;
        if (lags && random.below(2) === 0) lagging.add(caller.userId);
        else if (lagging.delete(caller.userId)) slots.startWaiting();
        slots.release(caller);
      };
      await Promise.all(
        Array.from({ length: 1_000 }, () => call(callerOf(1 + random.below(4), 1 + random.below(5)))),
      );
      assert.equal(ended, 1_000);
      // All slots are free again.
      const calls = new Calls(slots);
      for (let index = 0; index < count; index += 1) calls.call(`${index}`, 10 + index, 100);
      assert.equal(calls.started.length, count);
    });
});
