import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UnsecuredJWT } from 'jose';
import { Code } from '#gen/google/rpc/code_pb.ts';
import {
  headers,
  now,
  openIdentity,
  otherKey,
  payload,
  rpcErrorOf,
  sign,
  signWithPublicKey,
  tampered,
  user,
} from '../../../test/kit/identity.ts';
import { callerOf } from './authenticate.ts';

test('a user token gives the caller its ids, name and roles', async () => {
  await using identity = await openIdentity();
  const token = await sign({ uid: '7', tid: 3, name: 'Lan', realm_access: { roles: ['sales'] } });
  const caller = await callerOf(headers({ authorization: `Bearer ${token}` }), identity.verify);
  assert.equal(caller.kind, 'user');
  assert.equal(caller.userId, 7n);
  assert.equal(caller.tenantId, 3n);
  assert.equal(caller.name, 'Lan');
  assert.deepEqual([...caller.roles], ['sales']);
});

const invalidTokens: [name: string, token: () => Promise<string> | string][] = [
  ['garbage', () => 'garbage'],
  ['three parts of garbage', () => 'a.b.c'],
  ['expired', () => sign(user, { exp: now - 60 })],
  ['not valid yet', () => sign({ ...user, nbf: now + 600 })],
  ['without expiry', () => sign(user, { exp: undefined })],
  ['without time of issue', () => sign(user, { iat: undefined })],
  ['issued in the future', () => sign(user, { iat: now + 600 })],
  ['issued longer ago than the maximum age', () => sign(user, { iat: now - 721 * 3600 })],
  ['for another audience', () => sign(user, { aud: 'another' })],
  ['by another issuer', () => sign(user, { iss: 'https://evil.example' })],
  ['signed with another key under our key id', () => sign(user, {}, { key: otherKey.privateKey })],
  ['with an unknown key id', () => sign(user, {}, { kid: 'k2' })],
  ['with algorithm none', () => new UnsecuredJWT(payload(user)).encode()],
  ['with HS256 and the public key as secret', signWithPublicKey],
  ['with claims changed afterwards', async () => tampered(await sign(user))],
  ['without user', () => sign({ tid: '3' })],
  ['without tenant', () => sign({ uid: '7' })],
  ['with user 0', () => sign({ uid: '0', tid: '3' })],
  ['with a user below 0', () => sign({ uid: -7, tid: '3' })],
  ['with an id that is not a safe integer', () => sign({ uid: 2 ** 53, tid: '3' })],
  ['with an id beyond 64 bits', () => sign({ uid: '9223372036854775808', tid: '3' })],
];
for (const [name, token] of invalidTokens) {
  test(`a token ${name} is rejected without a reason in the message`, async () => {
    await using identity = await openIdentity();
    const authorization = `Bearer ${await token()}`;
    const rpcError = await rpcErrorOf(callerOf(headers({ authorization }), identity.verify));
    assert.equal(rpcError.code, Code.UNAUTHENTICATED);
    assert.equal(rpcError.message, 'a valid bearer token is required');
  });
}

for (const authorization of [undefined, '', 'Bearer', 'Bearer ', 'Basic dXNlcjpwYXNz']) {
  test(`the authorization header ${JSON.stringify(authorization)} is rejected`, async () => {
    await using identity = await openIdentity();
    const rpcError = await rpcErrorOf(callerOf(headers({ authorization }), identity.verify));
    assert.equal(rpcError.code, Code.UNAUTHENTICATED);
  });
}

test('users and operators cannot act for other users', async () => {
  await using identity = await openIdentity();
  for (const roles of [[], ['discuss.admin']]) {
    const token = await sign({ ...user, realm_access: { roles } });
    const acting = { authorization: `Bearer ${token}`, 'x-user-id': '42', 'x-tenant-id': '5' };
    const caller = await callerOf(headers(acting), identity.verify);
    assert.deepEqual([caller.userId, caller.tenantId], [7n, 3n]);
  }
});
