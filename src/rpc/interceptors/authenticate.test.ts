import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import {
  base64url,
  exportJWK,
  exportSPKI,
  generateKeyPair,
  type JWTHeaderParameters,
  type JWTPayload,
  SignJWT,
  UnsecuredJWT,
} from 'jose';
import { Code } from '#gen/google/rpc/code_pb.ts';
import { ErrorReason } from '#gen/serp/discuss/v1/error_pb.ts';
import { testEnv } from '../../../test/kit/edge/edges.ts';
import { toConfig } from '../../config.ts';
import { RpcError } from '../errors.ts';
import { callerOf, createTokenVerifier, type VerifyToken } from './authenticate.ts';

const issuer = 'https://id.example/realms/serp';
const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true });
const jwk = { ...(await exportJWK(publicKey)), kid: 'k1', alg: 'RS256', use: 'sig' };
const start = 1_800_000_000_000;

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

const user = { uid: '7', tid: '3' };
const now = start / 1000;
const otherKey = await generateKeyPair('RS256');
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

test('users and operators cannot act for other users', async () => {
  await using identity = await openIdentity();
  for (const roles of [[], ['discuss.admin']]) {
    const token = await sign({ ...user, realm_access: { roles } });
    const acting = { authorization: `Bearer ${token}`, 'x-user-id': '42', 'x-tenant-id': '5' };
    const caller = await callerOf(headers(acting), identity.verify);
    assert.deepEqual([caller.userId, caller.tenantId], [7n, 3n]);
  }
});

test('keys are read from a file', async () => {
  const config = toConfig(testEnv).auth;
  await assert.doesNotReject(createTokenVerifier(config, () => start));
  await assert.rejects(
    createTokenVerifier({ ...config, jwks: 'file:///nowhere/jwks.json' }, () => start),
    /ENOENT/,
  );
});

function payload(
  claims: JWTPayload,
  registered: Partial<Record<'iss' | 'aud' | 'iat' | 'exp', unknown>> = {},
): JWTPayload {
  return { iss: issuer, aud: 'discuss', iat: now, exp: now + 3600, ...claims, ...registered } as JWTPayload;
}

function sign(
  claims: JWTPayload,
  registered: Partial<Record<'iss' | 'aud' | 'iat' | 'exp', unknown>> = {},
  { key = privateKey, kid = 'k1' } = {},
): Promise<string> {
  return new SignJWT(payload(claims, registered)).setProtectedHeader({ alg: 'RS256', kid }).sign(key);
}

async function signWithPublicKey(): Promise<string> {
  const header: JWTHeaderParameters = { alg: 'HS256', kid: 'k1' };
  const secret = new TextEncoder().encode(await exportSPKI(publicKey));
  return new SignJWT(payload(user)).setProtectedHeader(header).sign(secret);
}

function tampered(token: string): string {
  const [header, , signature] = token.split('.');
  return [header, base64url.encode(JSON.stringify(payload({ uid: '1', tid: '1' }))), signature].join('.');
}

function headers(values: Record<string, string | undefined>): (name: string) => string | undefined {
  return (name) => values[name];
}

async function rpcErrorOf(promise: Promise<unknown>): Promise<RpcError> {
  const error = await promise.then(
    () => new Error('it was accepted'),
    (reason) => reason,
  );
  if (!(error instanceof RpcError)) throw error;
  return error;
}

/** An identity provider's key endpoint, and a verifier of its tokens. */
async function openIdentity({ time = (): number => start, env = {} } = {}) {
  const identity = { status: 200, keys: [jwk], verify: undefined as unknown as VerifyToken };
  const server = createServer((_request, response) => {
    response.writeHead(identity.status, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ keys: identity.keys }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const jwks = {
    AUTH_JWKS_URL: `http://127.0.0.1:${port}/certs`,
    AUTH_ISSUER: issuer,
    AUTH_AUDIENCE: 'discuss',
  };
  const config = toConfig({ ...testEnv, ...jwks, AUTH_CLOCK_TOLERANCE_MS: '1000', ...env });
  identity.verify = await createTokenVerifier(config.auth, time);
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return Object.assign(identity, {
    close,
    async [Symbol.asyncDispose]() {
      close();
    },
  });
}
