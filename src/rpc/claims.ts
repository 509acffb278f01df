import type { JWTPayload } from 'jose';
import type { Caller } from './call.ts';
import { errors } from './errors.ts';

/** A caller and the token that proves it. */
export type Identity = Caller & { readonly token: Token };

/** Times are epoch ms. */
type Token = {
  /** Claim `jti`; empty without it. */
  readonly id: string;
  /** Claim `tid`; 0n without it. */
  readonly tenantId: bigint;
  readonly issueTime: number;
  readonly expireTime: number;
};

/** The caller that a verified token identifies; throws UNAUTHENTICATED if a claim is missing or malformed. */
export function toIdentity(claims: JWTPayload, maxAgeMs: number): Identity {
  const roles = rolesOf(claims);
  const kind = roles.has('discuss.admin') ? 'operator' : roles.has('discuss.service') ? 'service' : 'user';
  const userId = kind === 'service' ? 0n : idClaim(claims['uid']);
  const tenantId = idClaim(claims['tid']);
  if (kind === 'user' && (userId === 0n || tenantId === 0n)) throw errors.tokenInvalid();
  const name = typeof claims['name'] === 'string' ? claims['name'] : '';
  const { jti = '', iat = 0, exp = 0 } = claims;
  const issueTime = iat * 1000;
  // A revocation is kept for the maximum age, so no token may be used for longer.
  const token = { id: jti, tenantId, issueTime, expireTime: Math.min(exp * 1000, issueTime + maxAgeMs) };
  return { kind, tenantId, userId, name, roles, tenants: tenantsOf(claims['tenants']), token };
}

export function parseId(text: string): bigint | undefined {
  if (!/^[1-9]\d{0,18}$/.test(text)) return undefined;
  const id = BigInt(text);
  return id < 2n ** 63n ? id : undefined;
}

function rolesOf(claims: JWTPayload): ReadonlySet<string> {
  const access = claims['realm_access'];
  const roles: unknown =
    typeof access === 'object' && access !== null ? Reflect.get(access, 'roles') : undefined;
  return new Set(Array.isArray(roles) ? roles.filter((role) => typeof role === 'string') : []);
}

// Only the exact text "*" grants all tenants: a claim that the identity provider maps incorrectly grants nothing.
function tenantsOf(claim: unknown): ReadonlySet<bigint> | 'all' | undefined {
  if (claim === undefined) return undefined;
  if (claim === '*') return 'all';
  if (!Array.isArray(claim)) throw errors.tokenInvalid(new Error('the claim `tenants` is malformed'));
  return new Set(claim.map(toId));
}

/** 0n, which is no user's and no tenant's, when the claim is absent. */
function idClaim(claim: unknown): bigint {
  return claim === undefined ? 0n : toId(claim);
}

function toId(claim: unknown): bigint {
  const text = typeof claim === 'number' && Number.isSafeInteger(claim) ? `${claim}` : claim;
  const id = typeof text === 'string' ? parseId(text) : undefined;
  if (id === undefined) throw errors.tokenInvalid(new Error('an id in the claims is malformed'));
  return id;
}
