import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type FreshRedis, freshRedis } from '../../test/kit/redis.ts';
import { callScript, loadScript, type Script } from './script.ts';
import { RedisTimeoutError, withTimeout } from './timeout.ts';

// On one server and on a cluster, where scripts are loaded on each node apart.
for (const cluster of [false, true]) {
  describe(`a script on a Redis ${cluster ? 'Cluster' : 'server'}`, () => {
    let redis: FreshRedis;
    let script: Script;

    before(async () => {
      const folder = mkdtempSync(join(tmpdir(), 'script-'));
      writeFileSync(
        join(folder, 'append.lua'),
        `local length = redis.call('RPUSH', KEYS[1], unpack(ARGV))
         return { 'length', length, 'key', KEYS[1], 'items', redis.call('LRANGE', KEYS[1], 0, -1) }`,
      );
      script = loadScript(folder, 'append');
      redis = await freshRedis(cluster);
    });
    after(() => redis.close());

    it('runs on the node of its keys, which loads it when it does not know it', async () => {
      const keys = Array.from({ length: 20 }, (_, index) => `list:${index}`);
      for (const length of [2, 4]) {
        const replies = await Promise.all(keys.map((key) => callScript(redis.client, script, [key], 'a', 1)));
        for (const [index, reply] of replies.entries()) {
          assert.equal(reply.number('length'), length);
          assert.equal(reply.text('key'), keys[index]);
          assert.deepEqual(reply.texts('items').slice(0, 2), ['a', '1']);
        }
      }
    });

    it('reports a field that its reply does not have', async () => {
      const reply = await callScript(redis.client, script, ['other'], 'a');
      assert.equal(reply.has('size'), false);
      assert.throws(() => reply.text('size'), /append\.lua returned no size/);
      assert.throws(() => reply.texts('length'), /append\.lua returned no list length/);
    });
  });
}

describe('withTimeout', () => {
  it('rejects when the time is over, and settles like the work before', async () => {
    await assert.rejects(withTimeout(new Promise(() => {}), 5), RedisTimeoutError);
    assert.equal(await withTimeout(Promise.resolve(7), 5), 7);
    await assert.rejects(withTimeout(Promise.reject(new Error('broken')), 5), /broken/);
  });

  it('takes a reply that arrived while the process was blocked', async () => {
    const work = new Promise((resolve) => setTimeout(() => setImmediate(resolve, 'reply'), 1));
    const result = withTimeout(work, 2);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    assert.equal(await result, 'reply');
  });
});
