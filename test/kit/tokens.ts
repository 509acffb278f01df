import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { exportJWK, generateKeyPair, importJWK, type JWK, SignJWT } from 'jose';
import { scratchFolder } from '../../scripts/lib/processes.ts';

const ALGORITHM = 'ES256';

export interface TokenClaims {
  /** 0n leaves the claim out, as in the token of a service. */
  readonly userId: bigint;
  readonly tenantId: bigint;
  readonly name?: string;
  readonly roles?: readonly string[];
  readonly tenants?: readonly bigint[] | '*';
  /** Seconds from now, default an hour; negative makes a token that has expired. */
  readonly expiresIn?: number;
  /** Claim `jti`. */
  readonly tokenId?: string;
}

export interface TokenSigner {
  readonly issuer: string;
  readonly audience: string;
  /** A `file:` address, fit for AUTH_JWKS_URL. */
  readonly jwksUrl: string;
  readonly jwks: { readonly keys: readonly JWK[] };
  /** Fit for SECRET_KEYS; lasts as long as the signing key. */
  readonly secretKeys: string;
  sign(claims: TokenClaims): Promise<string>;
}

/**
 * Signs tokens as the identity provider would, for tests and the development stack. With a folder the key is kept
 * there, so that tokens outlive a restart; without, key and files last as long as this process.
 */
export async function createTokenSigner(folder?: string): Promise<TokenSigner> {
  const place = folder ?? scratchFolder('discuss-tokens').path;
  const key = readKey(place) ?? (await createKey(place));
  const issuer = 'https://identity.localhost/realms/serp';
  const audience = 'discuss';
  const { d: _secret, ...shown } = key;
  const jwks = { keys: [shown] };
  const file = join(place, 'jwks.json');
  writeFileSync(file, JSON.stringify(jwks, null, 2));
  const secret = await importJWK(key, ALGORITHM);
  return {
    issuer,
    audience,
    jwksUrl: pathToFileURL(file).href,
    jwks,
    secretKeys: createHash('sha256').update(JSON.stringify(key)).digest('base64'),
    sign({ userId, tenantId, name, roles = [], tenants, expiresIn = 3600, tokenId }) {
      const now = Math.floor(Date.now() / 1000);
      const user = userId === 0n ? {} : { uid: `${userId}`, name: name ?? `User ${userId}` };
      const tenant = tenantId === 0n ? {} : { tid: `${tenantId}` };
      const served =
        tenants === undefined ? {} : { tenants: tenants === '*' ? tenants : tenants.map(String) };
      const id = tokenId === undefined ? {} : { jti: tokenId };
      return new SignJWT({ ...user, ...tenant, ...served, ...id, realm_access: { roles } })
        .setProtectedHeader({ alg: ALGORITHM, kid: key.kid ?? '' })
        .setSubject(userId === 0n ? (name ?? 'service') : `${userId}`)
        .setIssuer(issuer)
        .setAudience(audience)
        .setIssuedAt(now)
        .setExpirationTime(now + expiresIn)
        .sign(secret);
    },
  };
}

async function createKey(folder: string): Promise<JWK> {
  const pair = await generateKeyPair(ALGORITHM, { extractable: true });
  const key = { ...(await exportJWK(pair.privateKey)), alg: ALGORITHM, use: 'sig', kid: crypto.randomUUID() };
  mkdirSync(folder, { recursive: true });
  writeFileSync(keyFile(folder), JSON.stringify(key), { mode: 0o600 });
  return key;
}

function readKey(folder: string): JWK | undefined {
  try {
    const key: JWK = JSON.parse(readFileSync(keyFile(folder), 'utf8'));
    return key;
  } catch {
    return undefined;
  }
}

function keyFile(folder: string): string {
  return join(folder, 'signing-key.json');
}
