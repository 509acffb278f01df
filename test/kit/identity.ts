import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  base64url,
  exportJWK,
  exportSPKI,
  generateKeyPair,
  type JWTHeaderParameters,
  type JWTPayload,
  SignJWT,
} from 'jose';
import { toConfig } from '../../src/config.ts';
import { RpcError } from '../../src/rpc/errors.ts';
import { createTokenVerifier, type VerifyToken } from '../../src/rpc/interceptors/authenticate.ts';
import { testEnv } from './edge/edges.ts';

// An identity provider and its tokens, for tests of their verification.

const issuer = 'https://id.example/realms/serp';
const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true });
export const jwk = { ...(await exportJWK(publicKey)), kid: 'k1', alg: 'RS256', use: 'sig' };
/** When tokens are issued, and the time of their verifier. */
export const start = 1_800_000_000_000;

export const user = { uid: '7', tid: '3' };
/** `start` in seconds. */
export const now = start / 1000;
/** A key that the identity provider does not have. */
export const otherKey = await generateKeyPair('RS256');

export function payload(
  claims: JWTPayload,
  registered: Partial<Record<'iss' | 'aud' | 'iat' | 'exp', unknown>> = {},
): JWTPayload {
  return { iss: issuer, aud: 'discuss', iat: now, exp: now + 3600, ...claims, ...registered } as JWTPayload;
}

export function sign(
  claims: JWTPayload,
  registered: Partial<Record<'iss' | 'aud' | 'iat' | 'exp', unknown>> = {},
  { key = privateKey, kid = 'k1' } = {},
): Promise<string> {
  return new SignJWT(payload(claims, registered)).setProtectedHeader({ alg: 'RS256', kid }).sign(key);
}

/** A token of which the public key is the shared secret. */
export async function signWithPublicKey(): Promise<string> {
  const header: JWTHeaderParameters = { alg: 'HS256', kid: 'k1' };
  const secret = new TextEncoder().encode(await exportSPKI(publicKey));
  return new SignJWT(payload(user)).setProtectedHeader(header).sign(secret);
}

/** The token with the claims of another user and the old signature. */
export function tampered(token: string): string {
  const [header, , signature] = token.split('.');
  return [header, base64url.encode(JSON.stringify(payload({ uid: '1', tid: '1' }))), signature].join('.');
}

/** The headers of a call, as the interceptor reads them. */
export function headers(values: Record<string, string | undefined>): (name: string) => string | undefined {
  return (name) => values[name];
}

/** The error with which a call was rejected. */
export async function rpcErrorOf(promise: Promise<unknown>): Promise<RpcError> {
  const error = await promise.then(
    () => new Error('it was accepted'),
    (reason) => reason,
  );
  if (!(error instanceof RpcError)) throw error;
  return error;
}

/** An identity provider's key endpoint, and a verifier of its tokens. */
export async function openIdentity({ time = (): number => start, env = {} } = {}) {
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
