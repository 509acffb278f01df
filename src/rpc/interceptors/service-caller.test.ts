import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JWTPayload } from 'jose';
import { Code } from '#gen/google/rpc/code_pb.ts';
import { ErrorReason } from '#gen/serp/discuss/v1/error_pb.ts';
import { headers, openIdentity, rpcErrorOf, sign } from '../../../test/kit/identity.ts';
import { callerOf } from './authenticate.ts';

test('a service acts for the user that it names', async () => {
  await using identity = await openIdentity();
  const token = await sign({ tenants: '*', realm_access: { roles: ['discuss.service'] } });
  const acting = { authorization: `Bearer ${token}`, 'x-user-id': '42', 'x-tenant-id': '5' };
  const caller = await callerOf(headers(acting), identity.verify);
  assert.deepEqual([caller.kind, caller.userId, caller.tenantId], ['service', 42n, 5n]);
  const itself = await callerOf(headers({ authorization: `Bearer ${token}` }), identity.verify);
  assert.deepEqual([itself.kind, itself.userId, itself.tenantId], ['service', 0n, 0n]);
});

test('a service acts only in the tenants of its token', async () => {
  await using identity = await openIdentity();
  const token = await sign({ tid: '5', tenants: ['6', 8], realm_access: { roles: ['discuss.service'] } });
  const inTenant = (tenant: string) =>
    callerOf(headers({ authorization: `Bearer ${token}`, 'x-tenant-id': tenant }), identity.verify);
  assert.equal((await inTenant('6')).tenantId, 6n);
  assert.equal((await inTenant('8')).tenantId, 8n);
  assert.equal((await inTenant('5')).tenantId, 5n);
  assert.equal((await rpcErrorOf(inTenant('7'))).code, Code.PERMISSION_DENIED);
});

test('a service without the claim `tenants` acts only in the tenant of its token', async () => {
  await using identity = await openIdentity();
  const inTenant = async (claims: JWTPayload, tenant: string) => {
    const token = await sign({ ...claims, realm_access: { roles: ['discuss.service'] } });
    return callerOf(headers({ authorization: `Bearer ${token}`, 'x-tenant-id': tenant }), identity.verify);
  };
  assert.equal((await inTenant({ tid: '5' }, '5')).tenantId, 5n);
  for (const claims of [{ tid: '5' }, {}, { tenants: [] }])
    assert.equal((await rpcErrorOf(inTenant(claims, '6'))).code, Code.PERMISSION_DENIED);
});

const malformedClaims: JWTPayload[] = [
  ...[
    '100',
    '',
    ' *',
    'all',
    100,
    0,
    null,
    true,
    {},
    { '0': '1' },
    ['*'],
    ['1', '*'],
    [0],
    ['x'],
    [null],
    [[1]],
  ].map((tenants) => ({ tid: '5', tenants })),
  ...['x', '0', 0, -1, null, ['5'], {}].map((tid) => ({ tid, tenants: '*' })),
];
for (const claims of malformedClaims) {
  test(`a service token with the claims ${JSON.stringify(claims)} is rejected`, async () => {
    await using identity = await openIdentity();
    const token = await sign({ ...claims, realm_access: { roles: ['discuss.service'] } });
    const rpcError = await rpcErrorOf(
      callerOf(headers({ authorization: `Bearer ${token}` }), identity.verify),
    );
    assert.equal(rpcError.code, Code.UNAUTHENTICATED);
    assert.equal(rpcError.reason, ErrorReason.TOKEN_INVALID);
  });
}

for (const [name, value] of [
  ['x-user-id', 'me'],
  ['x-user-id', '0'],
  ['x-tenant-id', '-1'],
] as const) {
  test(`a service that sends ${name}: ${value} gets INVALID_ARGUMENT`, async () => {
    await using identity = await openIdentity();
    const token = await sign({ tid: '5', realm_access: { roles: ['discuss.service'] } });
    const sent = { authorization: `Bearer ${token}`, [name]: value };
    const rpcError = await rpcErrorOf(callerOf(headers(sent), identity.verify));
    assert.equal(rpcError.code, Code.INVALID_ARGUMENT);
    assert.match(rpcError.message, new RegExp(name));
  });
}

test('a service without a tenant cannot act for a user', async () => {
  await using identity = await openIdentity();
  const token = await sign({ realm_access: { roles: ['discuss.service'] } });
  const acting = { authorization: `Bearer ${token}`, 'x-user-id': '42' };
  assert.equal((await rpcErrorOf(callerOf(headers(acting), identity.verify))).code, Code.INVALID_ARGUMENT);
});
