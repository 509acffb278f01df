import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';

/** Every setting of the service, as in the configuration table of the README. */
export type Config = ReturnType<typeof toConfig>;

type Env = Readonly<Record<string, string | undefined>>;

// Maximum of an int32 in the contract, and of a timer's milliseconds: a longer one would end at once.
const MAX_COUNT = 2_147_483_647;
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
      keepaliveTimeoutMs: read.count('GRPC_KEEPALIVE_TIMEOUT_MS', 10_000),
      connectionAgeMs: read.count('GRPC_CONNECTION_AGE_MS', 3_600_000),
      connectionAgeGraceMs: read.count('GRPC_CONNECTION_AGE_GRACE_MS', 60_000),
      maxConcurrentStreams: read.count('GRPC_MAX_CONCURRENT_STREAMS', 1_000),
      connections: read.count('GRPC_CONNECTIONS', 10_000, 1),
      healthWatches: read.count('GRPC_HEALTH_WATCHES', 1_000),
      openReflection: read.flag('GRPC_OPEN_REFLECTION', false),
    },
    web: {
      address: read.text('WEB_ADDR', '0.0.0.0:8092'),
      origins: read.list('WEB_ORIGINS', []),
      maxConcurrentStreams: read.count('WEB_MAX_CONCURRENT_STREAMS', 250),
      maxHeaderBytes: read.count('WEB_MAX_HEADER_BYTES', 16_384, 1),
      headerTimeoutMs: read.count('WEB_HEADER_TIMEOUT_MS', 10_000, 1),
      connections: read.count('WEB_CONNECTIONS', 20_000),
      connectionsPerAddress: read.count('WEB_CONNECTIONS_PER_ADDRESS', 0),
      connectionAgeMs: read.count('WEB_CONNECTION_AGE_MS', 3_600_000),
      connectionAgeGraceMs: read.count('WEB_CONNECTION_AGE_GRACE_MS', 60_000),
    },
    metrics: { address: read.text('METRICS_ADDR', '0.0.0.0:9464') },
    call: {
      maxMessageBytes: read.count('MAX_MESSAGE_BYTES', 1_048_576),
      defaultDeadlineMs: read.count('DEFAULT_DEADLINE_MS', 15_000),
      maxDeadlineMs: read.count('MAX_DEADLINE_MS', 60_000),
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
      tokenCacheSize: read.count('AUTH_TOKEN_CACHE_SIZE', 20_000),
      maxTokenHours: read.count('AUTH_MAX_TOKEN_HOURS', 720, 1),
      maxRevocations: read.count('AUTH_REVOCATIONS', 20_000),
    },
    secrets: { keys: read.keys('SECRET_KEYS') },
    limits: {
      sendPerMinute: read.count('LIMIT_SEND_PER_MINUTE', 60),
      readPerMinute: read.count('LIMIT_READ_PER_MINUTE', 300),
      searchPerMinute: read.count('LIMIT_SEARCH_PER_MINUTE', 30),
      streamOpensPerMinute: read.count('LIMIT_STREAM_OPENS_PER_MINUTE', 60),
      tenantPerMinute: read.count('LIMIT_TENANT_PER_MINUTE', 10_000),
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
      queueSize: read.count('DATABASE_QUEUE_SIZE', 2_000),
      prepare: read.flag('DATABASE_PREPARE', true),
    },
    redis: {
      urls: read.urls('REDIS_URL', ['redis:', 'rediss:']),
      cluster: read.flag('REDIS_CLUSTER', false),
    },
    write: {
      batchSize: read.count('WRITE_BATCH_SIZE', 64, 1),
      batchConnections: read.count('WRITE_BATCH_CONNECTIONS', 2, 1),
      queueSize: read.count('WRITE_QUEUE_SIZE', 5_000),
      streamInFlight: read.count('WRITE_STREAM_IN_FLIGHT', 128, 1),
      requestIdHours: read.count('WRITE_REQUEST_ID_HOURS', 48, 24),
    },
    event: {
      heartbeatMs: read.count('EVENT_HEARTBEAT_MS', 20_000, 1),
      pollMs: read.count('EVENT_POLL_MS', 1_000, 1),
      streamBufferBytes: read.count('EVENT_STREAM_BUFFER_BYTES', 262_144),
      startedChannels: read.count('EVENT_STARTED_CHANNELS', 1_000, 1),
      streams: read.count('EVENT_STREAMS', 20_000),
      replayEvents: read.count('EVENT_REPLAY_EVENTS', 10_000),
      replayPage: read.count('EVENT_REPLAY_PAGE', 500, 1),
      retentionDays: read.count('EVENT_RETENTION_DAYS', 7, 1),
      connections: read.count('EVENT_CONNECTIONS', 4, 1),
      tenantStreams: read.count('EVENT_TENANT_STREAMS', 100),
      tenantStreamConnections: read.count('EVENT_TENANT_STREAM_CONNECTIONS', 1, 1),
      tenantStreamStatementTimeoutMs: read.count('EVENT_TENANT_STREAM_STATEMENT_TIMEOUT_MS', 10_000, 1),
    },
    channel: {
      maxMembers: read.count('CHANNEL_MAX_MEMBERS', 10_000),
      readersMaxMembers: read.count('CHANNEL_READERS_MAX_MEMBERS', 100),
      maxPins: read.count('CHANNEL_MAX_PINS', 50),
      notices: read.flag('CHANNEL_NOTICES', true),
    },
    message: {
      editWindowHours: read.count('EDIT_WINDOW_HOURS', 24),
      mentionAllMaxMembers: read.count('MENTION_ALL_MAX_MEMBERS', 200),
      maxReactions: read.count('REACTION_MAX_KINDS', 20),
      maxReactionUsers: read.count('REACTION_MAX_USERS', 2_000),
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
    unread: { updateIntervalMs: read.count('UNREAD_UPDATE_INTERVAL_MS', 3_000) },
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

function reader(env: Env, problems: string[]) {
  // NAME_FILE is the path of a file that contains the value, as orchestrators mount secrets.
  function raw(name: string): string | undefined {
    const file = env[`${name}_FILE`];
    if (file === undefined || file === '') return env[name] === '' ? undefined : env[name];
    try {
      return readFileSync(file, 'utf8').trim();
    } catch (error) {
      problems.push(`${name}_FILE cannot be read: ${error instanceof Error ? error.message : 'unknown'}`);
      return undefined;
    }
  }
  return {
    text(name: string, fallback?: string): string {
      const value = raw(name) ?? fallback;
      if (value === undefined) problems.push(`${name} is required`);
      return value ?? '';
    },
    count(name: string, fallback: number, least = 0): number {
      const value = raw(name);
      if (value === undefined) return fallback;
      const parsed = Number(value);
      if (!Number.isSafeInteger(parsed) || parsed < least || parsed > MAX_COUNT)
        problems.push(`${name} must be an integer from ${least} to ${MAX_COUNT}`);
      return parsed;
    },
    choice(name: string, choices: readonly string[], fallback: string): string {
      const value = raw(name) ?? fallback;
      if (!choices.includes(value)) problems.push(`${name} must be one of ${choices.join(', ')}`);
      return value;
    },
    list(name: string, fallback: readonly string[]): readonly string[] {
      const items = raw(name)
        ?.split(',')
        .map((item) => item.trim());
      return items?.filter((item) => item !== '') ?? fallback;
    },
    urls(name: string, protocols: readonly string[]): readonly URL[] {
      const value = raw(name);
      if (value === undefined) problems.push(`${name} is required`);
      const urls = (value?.split(',') ?? []).map((text) => URL.parse(text.trim()));
      const good = urls.filter((url) => url !== null && protocols.includes(url.protocol));
      if (good.length < urls.length) problems.push(`${name} must be ${protocols.join('// or ')}//host:port`);
      return good.filter((url) => url !== null);
    },
    /** Over http a third party could replace the keys: only this machine is trusted. */
    keySet(name: string): string {
      const value = raw(name);
      if (value === undefined) problems.push(`${name} is required`);
      const url = URL.parse(value ?? '');
      const isLocal =
        url?.protocol === 'http:' && /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname);
      if (value !== undefined && url?.protocol !== 'https:' && url?.protocol !== 'file:' && !isLocal)
        problems.push(`${name} must be https://…, file:///… or http://localhost`);
      return value ?? '';
    },
    /** Base64 of 32 bytes or more each. */
    keys(name: string): readonly Buffer[] {
      const keys = (raw(name)?.split(',') ?? []).map((text) => Buffer.from(text.trim(), 'base64'));
      if (keys.length === 0) problems.push(`${name} is required`);
      if (keys.some((key) => key.length < 32))
        problems.push(`${name} must be base64 of 32 bytes or more each`);
      return keys;
    },
    flag(name: string, fallback: boolean): boolean {
      const value = raw(name);
      if (value !== undefined && value !== 'true' && value !== 'false')
        problems.push(`${name} must be true or false`);
      return value === undefined ? fallback : value === 'true';
    },
  };
}
