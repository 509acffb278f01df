import { hostname } from 'node:os';
import { type Env, reader } from './env-reader.ts';

/** Every setting of the service, as in the configuration table of the README. */
export type Config = ReturnType<typeof toConfig>;

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

/**
 * Reads and checks the environment; no other code reads it.
 * Throws one error that lists every problem, so that a deployment can be corrected in one step.
 */
export function toConfig(env: Env) {
  const problems: string[] = [];
  const read = reader(env, problems);
  const config = {
    instance: read.text('INSTANCE_ID', `${hostname()}-${process.pid}`),
    log: { level: read.choice('LOG_LEVEL', LOG_LEVELS, 'info') },
    grpc: {
      address: read.text('GRPC_ADDR', '0.0.0.0:9092'),
      keepaliveMs: read.count('GRPC_KEEPALIVE_MS', 20_000),
      keepaliveTimeoutMs: read.count('GRPC_KEEPALIVE_TIMEOUT_MS', 10_000, 1),
      connectionAgeMs: read.count('GRPC_CONNECTION_AGE_MS', 3_600_000),
      connectionAgeGraceMs: read.count('GRPC_CONNECTION_AGE_GRACE_MS', 60_000),
      maxConcurrentStreams: read.count('GRPC_MAX_CONCURRENT_STREAMS', 1_000, 1),
      connections: read.count('GRPC_CONNECTIONS', 10_000, 1),
      healthWatches: read.count('GRPC_HEALTH_WATCHES', 1_000),
      openReflection: read.flag('GRPC_OPEN_REFLECTION', false),
      tls: read.tls('GRPC_TLS', 'GRPC_TLS_CLIENT_CA'),
    },
    web: {
      address: read.text('WEB_ADDR', '0.0.0.0:8092'),
      origins: read.list('WEB_ORIGINS', []),
      maxConcurrentStreams: read.count('WEB_MAX_CONCURRENT_STREAMS', 250, 1),
      maxHeaderBytes: read.count('WEB_MAX_HEADER_BYTES', 16_384, 1),
      headerTimeoutMs: read.count('WEB_HEADER_TIMEOUT_MS', 10_000, 1),
      connections: read.count('WEB_CONNECTIONS', 20_000),
      connectionsPerAddress: read.count('WEB_CONNECTIONS_PER_ADDRESS', 0),
      connectionAgeMs: read.count('WEB_CONNECTION_AGE_MS', 3_600_000),
      connectionAgeGraceMs: read.count('WEB_CONNECTION_AGE_GRACE_MS', 60_000),
      tls: read.tls('WEB_TLS'),
    },
    tls: { reloadMs: read.count('TLS_RELOAD_MS', 60_000, 1) },
    metrics: { address: read.text('METRICS_ADDR', '0.0.0.0:9464') },
    call: {
      maxMessageBytes: read.count('MAX_MESSAGE_BYTES', 1_048_576, 1),
      defaultDeadlineMs: read.count('DEFAULT_DEADLINE_MS', 15_000, 1),
      maxDeadlineMs: read.count('MAX_DEADLINE_MS', 60_000, 1),
      drainTimeoutMs: read.count('DRAIN_TIMEOUT_MS', 10_000),
      pendingBytes: read.count('PENDING_RESPONSE_BYTES', 16_777_216, 1),
      pendingTimeoutMs: read.count('PENDING_RESPONSE_TIMEOUT_MS', 30_000, 1),
    },
    auth: {
      jwks: read.keySet('AUTH_JWKS_URL'),
      issuer: read.text('AUTH_ISSUER'),
      audience: read.text('AUTH_AUDIENCE'),
      algorithms: read.list('AUTH_ALGORITHMS', ['RS256', 'ES256', 'PS256']),
      clockToleranceMs: read.count('AUTH_CLOCK_TOLERANCE_MS', 5_000),
      tokenCacheSize: read.count('AUTH_TOKEN_CACHE_SIZE', 20_000, 1),
      maxTokenHours: read.count('AUTH_MAX_TOKEN_HOURS', 720, 1),
      maxRevocations: read.count('AUTH_REVOCATIONS', 20_000, 1),
    },
    secrets: { keys: read.keys('SECRET_KEYS') },
    limits: {
      sendPerMinute: read.count('LIMIT_SEND_PER_MINUTE', 60),
      readPerMinute: read.count('LIMIT_READ_PER_MINUTE', 300),
      searchPerMinute: read.count('LIMIT_SEARCH_PER_MINUTE', 30),
      streamOpensPerMinute: read.count('LIMIT_STREAM_OPENS_PER_MINUTE', 60),
      tenantPerMinute: read.count('LIMIT_TENANT_PER_MINUTE', 10_000),
      tenantBurstMs: read.count('LIMIT_TENANT_BURST_MS', 5_000, 1),
      cancelledPerMinute: read.count('LIMIT_CANCELLED_PER_MINUTE', 300),
      streamsPerUser: read.count('LIMIT_STREAMS_PER_USER', 20),
      streamsPerTenant: read.count('LIMIT_STREAMS_PER_TENANT', 20_000),
      streamLeaseMs: read.count('LIMIT_STREAM_LEASE_MS', 60_000, 1),
      redisTimeoutMs: read.count('LIMIT_REDIS_TIMEOUT_MS', 100, 1),
      rejectionDelayMs: read.count('LIMIT_REJECTION_DELAY_MS', 1_000),
    },
    db: {
      url: read.text('DATABASE_URL'),
      connections: read.count('DATABASE_CONNECTIONS', 12, 1),
      connectTimeoutMs: read.count('DATABASE_CONNECT_TIMEOUT_MS', 5_000),
      startupTimeoutMs: read.count('DATABASE_STARTUP_TIMEOUT_MS', 60_000),
      queueSize: read.count('DATABASE_QUEUE_SIZE', 2_000, 1),
      prepare: read.flag('DATABASE_PREPARE', true),
    },
    redis: {
      urls: read.urls('REDIS_URL', ['redis:', 'rediss:']),
      cluster: read.flag('REDIS_CLUSTER', false),
    },
    write: {
      batchSize: read.count('WRITE_BATCH_SIZE', 64, 1),
      batchConnections: read.count('WRITE_BATCH_CONNECTIONS', 2, 1),
      queueSize: read.count('WRITE_QUEUE_SIZE', 5_000, 1),
      streamInFlight: read.count('WRITE_STREAM_IN_FLIGHT', 128, 1),
      requestIdHours: read.count('WRITE_REQUEST_ID_HOURS', 48, 24),
    },
    event: {
      heartbeatMs: read.count('EVENT_HEARTBEAT_MS', 20_000, 1),
      pollMs: read.count('EVENT_POLL_MS', 1_000, 1),
      streamBufferBytes: read.count('EVENT_STREAM_BUFFER_BYTES', 262_144, 1),
      startedChannels: read.count('EVENT_STARTED_CHANNELS', 1_000, 1),
      streams: read.count('EVENT_STREAMS', 20_000, 1),
      replayEvents: read.count('EVENT_REPLAY_EVENTS', 10_000),
      replayPage: read.count('EVENT_REPLAY_PAGE', 500, 1),
      retentionDays: read.count('EVENT_RETENTION_DAYS', 7, 1),
      connections: read.count('EVENT_CONNECTIONS', 4, 1),
      tenantStreams: read.count('EVENT_TENANT_STREAMS', 100),
      tenantStreamConnections: read.count('EVENT_TENANT_STREAM_CONNECTIONS', 1, 1),
      tenantStreamStatementTimeoutMs: read.count('EVENT_TENANT_STREAM_STATEMENT_TIMEOUT_MS', 10_000, 1),
    },
    channel: {
      maxMembers: read.count('CHANNEL_MAX_MEMBERS', 10_000, 1),
      readersMaxMembers: read.count('CHANNEL_READERS_MAX_MEMBERS', 100),
      maxPins: read.count('CHANNEL_MAX_PINS', 50, 1),
      notices: read.flag('CHANNEL_NOTICES', true),
    },
    message: {
      editWindowHours: read.count('EDIT_WINDOW_HOURS', 24),
      mentionAllMaxMembers: read.count('MENTION_ALL_MAX_MEMBERS', 200),
      mentionAllAdminMaxMembers: read.count('MENTION_ALL_ADMIN_MAX_MEMBERS', 10_000),
      mentionAllPerMinute: read.count('MENTION_ALL_PER_MINUTE', 100_000),
      maxReactions: read.count('REACTION_MAX_KINDS', 20, 1),
      maxReactionUsers: read.count('REACTION_MAX_USERS', 2_000, 1),
    },
    presence: {
      ttlMs: read.count('PRESENCE_TTL_MS', 300_000, 1),
      deviceTtlMs: read.count('PRESENCE_DEVICE_TTL_MS', 120_000, 1),
      graceMs: read.count('PRESENCE_GRACE_MS', 15_000),
      debounceMs: read.count('PRESENCE_DEBOUNCE_MS', 1_000),
      pollMs: read.count('PRESENCE_POLL_MS', 5_000, 1),
      recoveryMs: read.count('PRESENCE_RECOVERY_MS', 5_000),
      redisTimeoutMs: read.count('PRESENCE_REDIS_TIMEOUT_MS', 500, 1),
      maxMembers: read.count('PRESENCE_MAX_MEMBERS', 100),
      maxChannels: read.count('PRESENCE_MAX_CHANNELS', 500),
      maxDevices: read.count('PRESENCE_MAX_DEVICES', 20, 1),
      maxChanges: read.count('PRESENCE_MAX_CHANGES', 50_000, 1),
    },
    typing: {
      ttlMs: read.count('TYPING_TTL_MS', 10_000, 1),
      intervalMs: read.count('TYPING_INTERVAL_MS', 3_000),
      maxMembers: read.count('TYPING_MAX_MEMBERS', 100),
    },
    cache: {
      messages: read.flag('CACHE_MESSAGES', true),
      unread: read.flag('CACHE_UNREAD', true),
      redisTimeoutMs: read.count('CACHE_REDIS_TIMEOUT_MS', 100, 1),
    },
    search: { indexIntervalMs: read.count('SEARCH_INDEX_INTERVAL_MS', 500) },
    directory: {
      url: read.service('DIRECTORY_URL'),
      token: read.optional('DIRECTORY_TOKEN'),
      timeoutMs: read.count('DIRECTORY_TIMEOUT_MS', 2_000, 1),
      requests: read.count('DIRECTORY_REQUESTS', 32, 1),
      cacheMs: read.count('DIRECTORY_CACHE_MS', 60_000),
      cacheUsers: read.count('DIRECTORY_CACHE_USERS', 100_000),
    },
    activity: {
      pendingIntervalMs: read.count('ACTIVITY_PENDING_INTERVAL_MS', 1_000, 1),
      messagesMaxMembers: read.count('ACTIVITY_MESSAGES_MAX_MEMBERS', 100),
    },
    unread: { updateIntervalMs: read.count('UNREAD_UPDATE_INTERVAL_MS', 3_000) },
    storage: {
      bucket: read.optional('S3_BUCKET'),
      endpoint: read.optional('S3_ENDPOINT'),
      publicEndpoint: read.optional('S3_PUBLIC_ENDPOINT'),
      region: read.text('S3_REGION', 'us-east-1'),
      pathStyle: read.flag('S3_PATH_STYLE', true),
      accessKeyId: read.optional('S3_ACCESS_KEY_ID'),
      secretAccessKey: read.optional('S3_SECRET_ACCESS_KEY'),
      timeoutMs: read.count('S3_TIMEOUT_MS', 10_000, 1),
    },
    attachment: {
      maxBytes: read.count('ATTACHMENT_MAX_BYTES', 104_857_600, 1),
      tenantMb: read.count('ATTACHMENT_TENANT_MB', 102_400),
      userMb: read.count('ATTACHMENT_USER_MB', 10_240),
      uploadUrlMs: read.count('ATTACHMENT_UPLOAD_URL_MS', 3_600_000, 1_000),
      downloadUrlMs: read.count('ATTACHMENT_DOWNLOAD_URL_MS', 300_000, 1_000),
      pendingForUploader: read.flag('ATTACHMENT_PENDING_FOR_UPLOADER', true),
      abandonedHours: read.count('ATTACHMENT_ABANDONED_HOURS', 24, 1),
      purgeIntervalMs: read.count('ATTACHMENT_PURGE_INTERVAL_MS', 5_000),
    },
    scan: {
      address: read.optional('CLAMD_ADDR'),
      concurrency: read.count('SCAN_CONCURRENCY', 2, 1),
      intervalMs: read.count('SCAN_INTERVAL_MS', 1_000),
      timeoutMs: read.count('SCAN_TIMEOUT_MS', 120_000, 1),
      attempts: read.count('SCAN_ATTEMPTS', 5, 1),
    },
    retention: {
      deletedDays: read.count('RETENTION_DELETED_DAYS', 90),
      activityDays: read.count('RETENTION_ACTIVITY_DAYS', 365),
      inactiveDays: read.count('RETENTION_INACTIVE_DAYS', 180),
      intervalMs: read.count('RETENTION_INTERVAL_MS', 3_600_000),
    },
    maintenance: { intervalMs: read.count('MAINTENANCE_INTERVAL_MS', 60_000) },
  };
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

/** The environment is not a valid configuration; `problems` has one line for each reason. */
export class ConfigError extends Error {
  override name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`configuration:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.problems = problems;
  }
}
