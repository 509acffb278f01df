import type { Reader } from './reader.ts';

/** Settings of access and rate limits. */
export function accessSettings(read: Reader) {
  return {
    auth: {
      jwks: read.keySet(
        'AUTH_JWKS_URL',
        'key set of the identity provider: https, `file:` for a mounted file, or http on this machine. Read again every ten minutes; while it is unavailable, the known keys are used',
      ),
      issuer: read.text('AUTH_ISSUER', 'issuer that a token must have'),
      audience: read.text('AUTH_AUDIENCE', 'audience that a token must have'),
      algorithms: read.list('AUTH_ALGORITHMS', 'accepted signature algorithms', ['RS256', 'ES256', 'PS256']),
      clockToleranceMs: read.count('AUTH_CLOCK_TOLERANCE_MS', 'accepted clock difference', 5_000),
      tokenCacheSize: read.count(
        'AUTH_TOKEN_CACHE_SIZE',
        'verified tokens that are cached, so that each signature is checked once',
        20_000,
        1,
      ),
      maxTokenHours: read.count(
        'AUTH_MAX_TOKEN_HOURS',
        'age from which a token is rejected even if it has not expired; revocations are kept as long',
        720,
        1,
      ),
      maxRevocations: read.count(
        'AUTH_REVOCATIONS',
        'users, tenants and tokens that may be revoked at the same time (RevokeAccess)',
        20_000,
        1,
      ),
    },
    secrets: {
      keys: read.keys(
        'SECRET_KEYS',
        'keys that sign page tokens and messages between instances, base64 of 32 bytes or more each, separated by commas, the same for all instances. The first signs, all verify: to rotate, put a new key behind the old one, then in front, then remove the old one',
      ),
    },
    encryption: {
      keys: read.namedKeys(
        'ENCRYPTION_KEYS',
        'keys of encrypted channels: `name=` and base64 of 32 bytes, separated by commas, the same for all instances. The first encrypts, all decrypt; see [Keys](docs/operations.md#keys). Without any, no channel can be encrypted',
      ),
      rotationIntervalMs: read.count(
        'ENCRYPTION_ROTATION_INTERVAL_MS',
        'interval at which an instance looks for a rotation of keys to work on (StartKeyRotation); 0 never',
        5_000,
      ),
    },
    limits: {
      sendPerMinute: read.count('LIMIT_SEND_PER_MINUTE', 'writes per user', 60),
      readPerMinute: read.count('LIMIT_READ_PER_MINUTE', 'reads per user', 300),
      searchPerMinute: read.count('LIMIT_SEARCH_PER_MINUTE', 'searches per user', 30),
      streamOpensPerMinute: read.count(
        'LIMIT_STREAM_OPENS_PER_MINUTE',
        'opened streams per user, and per tenant for its services',
        60,
      ),
      tenantPerMinute: read.count('LIMIT_TENANT_PER_MINUTE', 'calls per tenant', 10_000),
      tenantBurstMs: read.count(
        'LIMIT_TENANT_BURST_MS',
        'time whose share of LIMIT_TENANT_PER_MINUTE a tenant can use at once: 833 of 10,000 calls, then 167 a second',
        5_000,
        1,
      ),
      cancelledPerMinute: read.count(
        'LIMIT_CANCELLED_PER_MINUTE',
        "calls that the clients of a user may cancel, per instance; above, the user's calls are rejected",
        300,
      ),
      unreadRequests: read.count(
        'LIMIT_UNREAD_REQUESTS_PER_USER',
        'calls of a user whose requests have not arrived completely, per instance; more are rejected (OVERLOADED)',
        200,
      ),
      streamsPerUser: read.count('LIMIT_STREAMS_PER_USER', 'open streams per user', 20),
      streamsPerTenant: read.count('LIMIT_STREAMS_PER_TENANT', 'open streams per tenant', 20_000),
      streamLeaseMs: read.count(
        'LIMIT_STREAM_LEASE_MS',
        'time until the streams of a killed instance no longer count',
        60_000,
        1,
      ),
      leasePercent: read.count(
        'LIMIT_LEASE_PERCENT',
        'part of a quota that an instance can take from Redis in advance, while calls are frequent; 0: each call is one command',
        5,
        0,
        50,
      ),
      redisTimeoutMs: read.count(
        'LIMIT_REDIS_TIMEOUT_MS',
        'time limit for Redis to respond about a limit before the instance uses its local limit',
        100,
        1,
      ),
      rejectionDelayMs: read.count(
        'LIMIT_REJECTION_DELAY_MS',
        'approximate delay of the response to a caller that was rejected a moment ago and calls again',
        1_000,
      ),
    },
  };
}
