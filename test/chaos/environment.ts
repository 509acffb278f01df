import type { FaultProxy } from '../kit/fault-proxy.ts';
import type { TokenSigner } from '../kit/tokens.ts';
import { type Stores, withHosts } from './stores.ts';

/** Addresses of the servers, through their proxies. */
export function environment(stores: Stores, redis: FaultProxy, database: FaultProxy, tokens: TokenSigner) {
  const hosts = [database.port, stores.standbyPort].map((port) => `127.0.0.1:${port}`);
  return {
    DATABASE_URL: withHosts(stores.serviceUrl, hosts),
    REDIS_URL: `redis://127.0.0.1:${redis.port}`,
    REDIS_CLUSTER: 'false',
    AUTH_JWKS_URL: tokens.jwksUrl,
    AUTH_ISSUER: tokens.issuer,
    AUTH_AUDIENCE: tokens.audience,
    SECRET_KEYS: tokens.secretKeys,
  };
}
