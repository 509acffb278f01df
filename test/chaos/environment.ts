import type { FaultProxy } from '../kit/fault-proxy.ts';
import type { TokenSigner } from '../kit/tokens.ts';
import type { Stores } from './stores.ts';

/** Addresses of the servers, through their proxies. */
export function environment(stores: Stores, redis: FaultProxy, database: FaultProxy, tokens: TokenSigner) {
  const databaseUrl = new URL(stores.serviceUrl);
  databaseUrl.port = `${database.port}`;
  return {
    DATABASE_URL: databaseUrl.href,
    REDIS_URL: `redis://127.0.0.1:${redis.port}`,
    REDIS_CLUSTER: 'false',
    AUTH_JWKS_URL: tokens.jwksUrl,
    AUTH_ISSUER: tokens.issuer,
    AUTH_AUDIENCE: tokens.audience,
    SECRET_KEYS: tokens.secretKeys,
  };
}
