import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Code } from '#gen/google/rpc/code_pb.ts';
import { testEnv } from '../../../test/kit/edge/edges.ts';
import {
  jwk,
  now,
  openIdentity,
  otherKey,
  rpcErrorOf,
  sign,
  start,
  tampered,
  user,
} from '../../../test/kit/identity.ts';
import { toConfig } from '../../config.ts';
import { createTokenVerifier } from './authenticate.ts';

test('a verified token is cached until it expires', async () => {
  let time = start;
  await using identity = await openIdentity({ time: () => time });
  const token = await sign(user, { exp: now + 60 });
  const first = await identity.verify(token);
  assert.equal(await identity.verify(token), first, 'the cached identity');
  time = start + 59_000;
  assert.equal(await identity.verify(token), first);
  time = start + 61_000;
  assert.equal((await rpcErrorOf(identity.verify(token))).code, Code.UNAUTHENTICATED);
});

test('a token of calls that arrive together is verified once', async () => {
  await using identity = await openIdentity();
  const token = await sign(user);
  const [first, ...others] = await Promise.all(Array.from({ length: 10 }, () => identity.verify(token)));
  for (const other of others) assert.equal(other, first);
  const invalid = tampered(token);
  const results = await Promise.allSettled([identity.verify(invalid), identity.verify(invalid)]);
  for (const { status } of results) assert.equal(status, 'rejected');
});

test('a cached token is rejected at the maximum age, also if it has not expired', async () => {
  let time = start;
  await using identity = await openIdentity({ time: () => time, env: { AUTH_MAX_TOKEN_HOURS: '2' } });
  const token = await sign(user, { exp: now + 86_400 });
  const first = await identity.verify(token);
  time = start + 7_199_000;
  assert.equal(await identity.verify(token), first);
  time = start + 7_202_000;
  assert.equal((await rpcErrorOf(identity.verify(token))).code, Code.UNAUTHENTICATED);
});

test('the cache of tokens has the configured size', async () => {
  await using identity = await openIdentity({ env: { AUTH_TOKEN_CACHE_SIZE: '2' } });
  const tokens = [await sign(user), await sign({ ...user, name: 'b' }), await sign({ ...user, name: 'c' })];
  const [first = ''] = tokens;
  const before = await identity.verify(first);
  for (const token of tokens) await identity.verify(token);
  assert.notEqual(await identity.verify(first), before);
});

test('a token whose key cannot be fetched is UNAVAILABLE, not UNAUTHENTICATED', async () => {
  await using identity = await openIdentity();
  identity.status = 503;
  const rpcError = await rpcErrorOf(identity.verify(await sign(user)));
  assert.equal(rpcError.code, Code.UNAVAILABLE);
  identity.status = 200;
  assert.equal((await identity.verify(await sign(user))).userId, 7n);
});

test('known keys are used while the identity provider is unavailable, and read again afterwards', async (t) => {
  // jose takes the age of its keys from Date.
  t.mock.timers.enable({ apis: ['Date'], now: start });
  await using identity = await openIdentity({ time: Date.now });
  const verifyNew = async (key = {}) => {
    const seconds = Date.now() / 1000;
    const token = await sign({ ...user, name: `${seconds}` }, { iat: seconds, exp: seconds + 60 }, key);
    return identity.verify(token);
  };
  await verifyNew();
  for (const status of [503, 200, 0]) {
    identity.status = status;
    if (status === 0) identity.close();
    for (let minute = 0; minute < 30; minute++) {
      t.mock.timers.tick(60_000);
      assert.equal((await verifyNew()).userId, 7n);
    }
  }
  const unknown = await rpcErrorOf(verifyNew({ key: otherKey.privateKey, kid: 'k2' }));
  assert.equal(unknown.code, Code.UNAVAILABLE);
});

test('a key that the identity provider removed is rejected after the next refresh', async () => {
  let time = start;
  await using identity = await openIdentity({ time: () => time });
  await identity.verify(await sign(user));
  identity.keys = [{ ...jwk, kid: 'k2' }];
  time += 601_000;
  const { code } = await rpcErrorOf(identity.verify(await sign({ ...user, name: 'b' })));
  assert.equal(code, Code.UNAUTHENTICATED);
});

test('keys are read from a file', async () => {
  const config = toConfig(testEnv).auth;
  await assert.doesNotReject(createTokenVerifier(config, () => start));
  await assert.rejects(
    createTokenVerifier({ ...config, jwks: 'file:///nowhere/jwks.json' }, () => start),
    /ENOENT/,
  );
});
