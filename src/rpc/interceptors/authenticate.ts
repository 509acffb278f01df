import { hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  type JSONWebKeySet,
  type JWTPayload,
  type JWTVerifyGetKey,
  errors as joseErrors,
  jwtVerify,
} from 'jose';
import { LRUCache } from 'lru-cache';
import type { Config } from '../../config.ts';
import type { Caller } from '../call.ts';
import { errors } from '../errors.ts';
import type { Interceptor } from '../interceptor.ts';

/** Gives whom a token proves its holder to be; throws a refusal where it proves nobody. */
export type TokenReader = (token: string) => Promise<Caller>;

type Header = (name: string) => string | undefined;

/** Finds out who calls. No token, no entry. */
export function authenticate(readToken: TokenReader): Interceptor {
  return (_method, next) => async (call) => {
    call.caller = await callerOf(call.arrival.header, readToken);
    return next(call);
  };
}

export async function callerOf(header: Header, readToken: TokenReader): Promise<Caller> {
  const token = /^Bearer +(\S+)$/i.exec(header('authorization') ?? '')?.[1];
  if (token === undefined) throw errors.tokenInvalid();
  const identity = await readToken(token);
  return identity.kind === 'service' ? actingFor(identity, header) : identity;
}

/** Checks tokens, each one's signature once: what it proved is remembered until it expires. */
export async function createTokenReader(config: Config['auth'], now: () => number): Promise<TokenReader> {
  const keys = await openKeys(config.jwks);
  const known = new LRUCache<string, { identity: Caller; until: number }>({ max: config.rememberedTokens });
  return async (token) => {
    const fingerprint = hash('sha256', token, 'base64');
    const remembered = known.get(fingerprint);
    if (remembered !== undefined && remembered.until > now()) return remembered.identity;
    known.delete(fingerprint);
    const claims = await verify(token, keys, config, now());
    const identity = identityOf(claims);
    known.set(fingerprint, { identity, until: (claims.exp ?? 0) * 1000 + config.clockToleranceMs });
    return identity;
  };
}

async function openKeys(location: string): Promise<JWTVerifyGetKey> {
  const url = new URL(location);
  if (url.protocol !== 'file:')
    return createRemoteJWKSet(url, { cooldownDuration: 30_000, timeoutDuration: 5_000 });
  const keys: JSONWebKeySet = JSON.parse(await readFile(url, 'utf8'));
  return createLocalJWKSet(keys);
}

async function verify(
  token: string,
  keys: JWTVerifyGetKey,
  config: Config['auth'],
  now: number,
): Promise<JWTPayload> {
  try {
    const { payload } = await jwtVerify(token, keys, {
      issuer: config.issuer,
      audience: config.audience,
      algorithms: [...config.algorithms],
      clockTolerance: config.clockToleranceMs / 1000,
      currentDate: new Date(now),
      requiredClaims: ['exp'],
    });
    return payload;
  } catch (error) {
    throw isKeyTrouble(error) ? errors.keysUnavailable(error) : errors.tokenInvalid(error);
  }
}

// The token may well be good when its key cannot be had.
function isKeyTrouble(error: unknown): boolean {
  if (!(error instanceof joseErrors.JOSEError)) return true;
  return ['ERR_JOSE_GENERIC', 'ERR_JWKS_INVALID', 'ERR_JWKS_TIMEOUT'].includes(error.code);
}

function identityOf(claims: JWTPayload): Caller {
  const roles = rolesOf(claims);
  const kind = roles.has('discuss.admin') ? 'operator' : roles.has('discuss.service') ? 'service' : 'user';
  const userId = kind === 'service' ? 0n : idOf(claims['uid']);
  const tenantId = idOf(claims['tid']);
  if (kind === 'user' && (userId === 0n || tenantId === 0n)) throw errors.tokenInvalid();
  const name = typeof claims['name'] === 'string' ? claims['name'] : '';
  return { kind, tenantId, userId, name, roles, tenants: tenantsOf(claims) };
}

/** A service says in metadata for whom it calls; from anybody else these headers mean nothing. */
function actingFor(service: Caller, header: Header): Caller {
  const userId = idHeader(header, 'x-user-id') ?? 0n;
  const tenantId = idHeader(header, 'x-tenant-id') ?? service.tenantId;
  const own = tenantId === service.tenantId;
  if (!own && service.tenants?.has(tenantId) === false) {
    throw errors.callerNotAllowed('the service does not serve this tenant');
  }
  if (userId !== 0n && tenantId === 0n)
    throw errors.fieldInvalid('x-tenant-id', 'is required with x-user-id');
  return { ...service, tenantId, userId, name: '' };
}

function rolesOf(claims: JWTPayload): ReadonlySet<string> {
  const access = claims['realm_access'];
  const roles: unknown =
    typeof access === 'object' && access !== null ? Reflect.get(access, 'roles') : undefined;
  return new Set(Array.isArray(roles) ? roles.filter((role) => typeof role === 'string') : []);
}

function tenantsOf(claims: JWTPayload): ReadonlySet<bigint> | undefined {
  const tenants = claims['tenants'];
  return Array.isArray(tenants) ? new Set(tenants.map(idOf)) : undefined;
}

// An id that a claim does not hold, or not as it should, is 0n: nobody's.
function idOf(claim: unknown): bigint {
  if (typeof claim === 'number') return Number.isSafeInteger(claim) && claim > 0 ? BigInt(claim) : 0n;
  return typeof claim === 'string' ? (parseId(claim) ?? 0n) : 0n;
}

function idHeader(header: Header, name: string): bigint | undefined {
  const text = header(name);
  if (text === undefined) return undefined;
  const id = parseId(text);
  if (id === undefined) throw errors.fieldInvalid(name, 'must be a whole number above 0');
  return id;
}

function parseId(text: string): bigint | undefined {
  if (!/^[1-9]\d{0,18}$/.test(text)) return undefined;
  const id = BigInt(text);
  return id < 2n ** 63n ? id : undefined;
}
