import type { Reader } from './reader.ts';

/** Settings of PostgreSQL, Redis, and what is written to and read from them. */
export function storesSettings(read: Reader) {
  return {
    db: {
      url: read.text(
        'DATABASE_URL',
        'PostgreSQL 15 or newer, as a login that is a member of `discuss_service` and owns nothing',
      ),
      standby: readStandby(read),
      connections: read.count(
        'DATABASE_CONNECTIONS',
        'connections for calls; each is used by one call at a time',
        12,
        1,
      ),
      connectTimeoutMs: read.count(
        'DATABASE_CONNECT_TIMEOUT_MS',
        'time limit for opening a connection',
        5_000,
      ),
      startupTimeoutMs: readStartupTimeout(read),
      responseTimeoutMs: read.count(
        'DATABASE_RESPONSE_TIMEOUT_MS',
        'time for PostgreSQL to respond to an empty query, sent every 2 s; then connections on which nothing has arrived meanwhile are closed, and their calls end with UNAVAILABLE. 0 never',
        5_000,
      ),
      queueSize: read.count(
        'DATABASE_QUEUE_SIZE',
        'calls that may wait for a connection; tenants take turns, and the tenant with the most waiting calls is rejected first',
        2_000,
        1,
      ),
      prepare: read.flag(
        'DATABASE_PREPARE',
        'false behind a pooler that does not support prepared statements',
        true,
      ),
    },
    redis: {
      urls: read.urls(
        'REDIS_URL',
        'Redis 6.2 or newer; from 7 on with sharded pub/sub. For a cluster: some of its nodes, separated by commas',
        ['redis:', 'rediss:'],
      ),
      responseTimeoutMs: read.count(
        'REDIS_RESPONSE_TIMEOUT_MS',
        'time for Redis to respond on a connection before it is replaced',
        4_000,
        1,
      ),
      cluster: read.flag('REDIS_CLUSTER', 'whether REDIS_URL is a Redis Cluster', false),
    },
    cache: {
      messages: read.flag(
        'CACHE_MESSAGES',
        'whether Redis caches newest pages, of up to 256 KiB each; responses are the same without',
        true,
      ),
      unread: read.flag(
        'CACHE_UNREAD',
        'whether Redis caches unread counts; responses are the same without',
        true,
      ),
      redisTimeoutMs: read.count(
        'CACHE_REDIS_TIMEOUT_MS',
        'time that a read waits for the cache before it uses PostgreSQL only',
        100,
        1,
      ),
    },
    write: {
      batchSize: read.count(
        'WRITE_BATCH_SIZE',
        'messages, or reactions to one message, in one statement',
        64,
        1,
      ),
      batchConnections: read.count(
        'WRITE_BATCH_CONNECTIONS',
        'concurrent statements, each on its own connection; more than one where PostgreSQL has many free cores',
        1,
        1,
      ),
      queueSize: read.count(
        'WRITE_QUEUE_SIZE',
        'messages, and as many reactions, that may wait for a statement, with the same rule for tenants',
        5_000,
        1,
      ),
      streamInFlight: read.count(
        'WRITE_STREAM_IN_FLIGHT',
        'requests of one SendMessages stream that are read before their outcomes are sent; also limited by EVENT_STREAM_BUFFER_BYTES',
        128,
        1,
      ),
      requestIdHours: read.count(
        'WRITE_REQUEST_ID_HOURS',
        'hours that request ids are kept, at least 24',
        48,
        24,
      ),
    },
    event: {
      heartbeatMs: read.count('EVENT_HEARTBEAT_MS', 'interval of heartbeats on streams', 20_000, 1),
      pollMs: read.count(
        'EVENT_POLL_MS',
        'interval at which the log is polled for events that Redis did not deliver, also for tenant streams',
        1_000,
        1,
      ),
      streamBufferBytes: read.count(
        'EVENT_STREAM_BUFFER_BYTES',
        'bytes that may wait in one connection before the stream continues from the log',
        262_144,
        1,
      ),
      startedChannels: read.count(
        'EVENT_STARTED_CHANNELS',
        'channels in one `started` message of a stream',
        1_000,
        1,
      ),
      streams: read.count('EVENT_STREAMS', 'streams of one instance', 20_000, 1),
      replayEvents: read.count(
        'EVENT_REPLAY_EVENTS',
        'events per channel that a resumed stream receives before it gets RESET',
        10_000,
      ),
      replayPage: read.count(
        'EVENT_REPLAY_PAGE',
        'events per read of the log, which also ends at EVENT_STREAM_BUFFER_BYTES',
        500,
        1,
      ),
      retentionDays: read.count('EVENT_RETENTION_DAYS', 'days that the log is kept', 7, 1),
      connections: read.count('EVENT_CONNECTIONS', 'database connections for the log and housekeeping', 4, 1),
      tenantStreams: read.count(
        'EVENT_TENANT_STREAMS',
        'tenant streams (StreamTenantEvents) of one instance',
        100,
      ),
      tenantStreamConnections: read.count(
        'EVENT_TENANT_STREAM_CONNECTIONS',
        'database connections for tenant streams',
        1,
        1,
      ),
      tenantStreamStatementTimeoutMs: read.count(
        'EVENT_TENANT_STREAM_STATEMENT_TIMEOUT_MS',
        'time limit for one read of a tenant stream',
        10_000,
        1,
      ),
    },
  };
}

/** Settings of `npm run migrate`. */
export function migrationSettings(read: Reader) {
  return {
    ownerUrl: read.text(
      'DATABASE_OWNER_URL',
      'only for `npm run migrate`: the database to migrate, as the role that owns the schema',
    ),
    startupTimeoutMs: readStartupTimeout(read),
  };
}

function readStandby(read: Reader) {
  const url = read.optional(
    'DATABASE_REPLICA_URL',
    'a hot standby of the database, as the same login: reads of older history, searches and lists of public groups use it while it has applied what was committed before them, otherwise the primary',
  );
  const connections = read.count(
    'DATABASE_REPLICA_CONNECTIONS',
    'connections for calls to the standby',
    6,
    1,
  );
  return url === undefined ? undefined : { url, connections };
}

function readStartupTimeout(read: Reader): number {
  return read.count(
    'DATABASE_STARTUP_TIMEOUT_MS',
    'time to wait for PostgreSQL when the service or `npm run migrate` starts; then it ends with the last error. Meanwhile, a log line every 5 s names the host and the cause',
    60_000,
  );
}
