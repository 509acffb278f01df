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
import type { Config } from '../../config.ts';
import type { Caller } from '../call.ts';
import { type Identity, parseId, toIdentity } from '../claims.ts';
import { errors } from '../errors.ts';
import type { Interceptor } from '../interceptor.ts';
import { lruCache } from '../lru.ts';
import type { AccessError, OpenStreams } from '../open-streams.ts';

/** Verifies a token and returns its caller; throws UNAUTHENTICATED. */
export type VerifyToken = (token: string) => Promise<Identity>;

const KEYS_REFRESH_MS = 600_000;
const KEYS_RETRY_MS = 30_000;

type Header = (name: string) => string | undefined;

/** Sets the caller of the call from its token. A stream ends as soon as its caller has no access any more. */
export function authenticate(
  verifyToken: VerifyToken,
  accessError: AccessError,
  openStreams: OpenStreams,
): Interceptor {
  return (method, next) => async (call) => {
    const { header, admitted } = call.incoming;
    const identity = admitted?.identity ?? (await callerOf(header, verifyToken));
    const error = accessError(identity);
    if (error !== undefined) throw error;
    call.caller = identity;
    call.identity = identity;
    if (method.methodKind === 'unary') return next(call);
    const remove = openStreams.add(call, identity);
    try {
      return await next(call);
    } finally {
      remove();
    }
  };
}

export async function callerOf(header: Header, verifyToken: VerifyToken): Promise<Identity> {
  const token = /^Bearer +(\S+)$/i.exec(header('authorization') ?? '')?.[1];
  if (token === undefined) throw errors.tokenInvalid();
  const identity = await verifyToken(token);
  return identity.kind === 'service' ? actingFor(identity, header) : identity;
}

/**
 * Caches the callers of verified tokens until these expire, so that each signature is checked once, also when calls with the
 * same token arrive together.
 */
export async function createTokenVerifier(config: Config['auth'], now: () => number): Promise<VerifyToken> {
  const keys = await openKeys(config.jwks, now);
  const cache = lruCache<string, Identity>(config.tokenCacheSize);
  const verifying = new Map<string, Promise<Identity>>();
  const verifyNew = async (token: string, fingerprint: string) => {
    try {
      const claims = await verify(token, keys, config, now());
      const identity = toIdentity(claims, config.maxTokenHours * 3_600_000);
      cache.set(fingerprint, identity);
      return identity;
    } finally {
      verifying.delete(fingerprint);
    }
  };
  return async (token) => {
    const fingerprint = hash('sha256', token, 'base64');
    const cached = cache.get(fingerprint);
    if (cached !== undefined && cached.token.expireTime + config.clockToleranceMs > now()) return cached;
    cache.delete(fingerprint);
    const identity = verifying.get(fingerprint) ?? verifyNew(token, fingerprint);
    verifying.set(fingerprint, identity);
    return identity;
  };
}

async function openKeys(location: string, now: () => number): Promise<JWTVerifyGetKey> {
  const url = new URL(location);
  if (url.protocol !== 'file:') return remoteKeys(url, now);
  const keys: JSONWebKeySet = JSON.parse(await readFile(url, 'utf8'));
  return createLocalJWKSet(keys);
}

// The known keys do not expire by themselves: they are used for as long as the identity provider is unavailable.
function remoteKeys(url: URL, now: () => number): JWTVerifyGetKey {
  const keys = createRemoteJWKSet(url, {
    cooldownDuration: 30_000,
    timeoutDuration: 5_000,
    cacheMaxAge: Number.POSITIVE_INFINITY,
  });
  let refreshTime = now() + KEYS_REFRESH_MS;
  return async (header, token) => {
    if (now() >= refreshTime) {
      // Set before waiting, so that at most one call waits for a provider that does not respond.
      refreshTime = now() + KEYS_RETRY_MS;
      await keys.reload().then(
        () => {
          refreshTime = now() + KEYS_REFRESH_MS;
        },
        () => {},
      );
    }
    return keys(header, token);
  };
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
      maxTokenAge: config.maxTokenHours * 3600,
    });
    return payload;
  } catch (error) {
    throw isKeyUnavailable(error) ? errors.keysUnavailable(error) : errors.tokenInvalid(error);
  }
}

// The token may be valid: its key could not be loaded.
function isKeyUnavailable(error: unknown): boolean {
  if (!(error instanceof joseErrors.JOSEError)) return true;
  return ['ERR_JOSE_GENERIC', 'ERR_JWKS_INVALID', 'ERR_JWKS_TIMEOUT'].includes(error.code);
}

/** A service names the user and tenant that it acts for in headers, which are ignored from all other callers. */
function actingFor(service: Identity, header: Header): Identity {
  const userId = idHeader(header, 'x-user-id') ?? 0n;
  const tenantId = idHeader(header, 'x-tenant-id') ?? service.tenantId;
  if (tenantId !== service.tenantId && !mayActIn(service, tenantId)) {
    throw errors.callerNotAllowed('the service may not act in this tenant', {
      caller: service.kind,
      tenant_id: tenantId,
    });
  }
  if (userId !== 0n && tenantId === 0n)
    throw errors.fieldInvalid('x-tenant-id', 'is required with x-user-id');
  return { ...service, tenantId, userId, name: '' };
}

function mayActIn({ tenants }: Caller, tenantId: bigint): boolean {
  return tenants === 'all' || tenants?.has(tenantId) === true;
}

function idHeader(header: Header, name: string): bigint | undefined {
  const text = header(name);
  if (text === undefined) return undefined;
  const id = parseId(text);
  if (id === undefined) throw errors.fieldInvalid(name, 'must be a positive integer');
  return id;
}
