import { hostname } from 'node:os';
import type { Reader } from './reader.ts';

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

/** Settings of the edges, and the instance itself. */
export function edgesSettings(read: Reader) {
  return {
    instance: read.text('INSTANCE_ID', 'unique per instance', `${hostname()}-${process.pid}`, 'host and pid'),
    log: { level: read.choice('LOG_LEVEL', 'trace, debug, info, warn, error, fatal', LOG_LEVELS, 'info') },
    grpc: {
      address: read.text('GRPC_ADDR', 'address of the gRPC edge', '0.0.0.0:9092'),
      keepaliveMs: read.count('GRPC_KEEPALIVE_MS', 'interval of pings to clients', 20_000),
      keepaliveTimeoutMs: read.count(
        'GRPC_KEEPALIVE_TIMEOUT_MS',
        'time for a client to respond to a ping',
        10_000,
        1,
      ),
      connectionAgeMs: read.count(
        'GRPC_CONNECTION_AGE_MS',
        'age at which a client is asked to reconnect',
        3_600_000,
      ),
      connectionAgeGraceMs: read.count(
        'GRPC_CONNECTION_AGE_GRACE_MS',
        'time that its calls may continue after that',
        60_000,
      ),
      maxConcurrentStreams: read.count(
        'GRPC_MAX_CONCURRENT_STREAMS',
        'concurrent calls per connection; at most 100 until one with a valid token was accepted',
        1_000,
        1,
      ),
      connections: read.count(
        'GRPC_CONNECTIONS',
        'connections of one instance; more are closed at once',
        10_000,
        1,
      ),
      healthWatches: read.count(
        'GRPC_HEALTH_WATCHES',
        'streams of Health/Watch of one instance, at most 20 for each connection; they need no token',
        1_000,
      ),
      openReflection: read.flag(
        'GRPC_OPEN_REFLECTION',
        'whether server reflection works without a token, as under `npm start`. Otherwise only health checks and error details do',
        false,
      ),
      tls: read.tls('GRPC_TLS', {
        cert: 'path of a PEM file with the certificate chain of the gRPC edge, for TLS 1.2 and 1.3',
        key: 'path of a PEM file with its key',
        clientCa:
          'path of a PEM file with certificate authorities. If set, only clients with a certificate of one of them can connect',
      }),
    },
    web: {
      address: read.text('WEB_ADDR', 'address of the web edge, HTTP/1.1 and HTTP/2', '0.0.0.0:8092'),
      origins: read.list('WEB_ORIGINS', 'origins that browsers may call from, separated by commas', []),
      maxConcurrentStreams: read.count(
        'WEB_MAX_CONCURRENT_STREAMS',
        'concurrent calls per HTTP/2 connection; at most 100 until one with a valid token was accepted',
        250,
        1,
      ),
      maxHeaderBytes: read.count(
        'WEB_MAX_HEADER_BYTES',
        'size of the headers of a request, which are at most 100',
        16_384,
        1,
      ),
      headerTimeoutMs: read.count(
        'WEB_HEADER_TIMEOUT_MS',
        'time limit for the headers of a request, and for the first authorized call of an HTTP/2 connection',
        10_000,
        1,
      ),
      connections: read.count('WEB_CONNECTIONS', 'open connections', 20_000),
      connectionsPerAddress: read.count(
        'WEB_CONNECTIONS_PER_ADDRESS',
        'open connections per remote address. Set it only where clients connect without a proxy',
        0,
      ),
      connectionAgeMs: read.count(
        'WEB_CONNECTION_AGE_MS',
        'age at which a connection accepts no more calls and its streams end with SERVER_DRAINING',
        3_600_000,
      ),
      connectionAgeGraceMs: read.count(
        'WEB_CONNECTION_AGE_GRACE_MS',
        'time after that until the connection is destroyed',
        60_000,
      ),
      tls: read.tls('WEB_TLS', {
        cert: 'the same for the web edge, where ALPN selects HTTP/2 or HTTP/1.1',
        key: 'path of a PEM file with its key',
      }),
    },
    tls: {
      reloadMs: read.count(
        'TLS_RELOAD_MS',
        'interval at which these files are read again; new connections use what has changed',
        60_000,
        1,
      ),
    },
    metrics: {
      address: read.text('METRICS_ADDR', 'address of `/metrics`, `/livez` and `/readyz`', '0.0.0.0:9464'),
    },
    tracing: {
      endpoint: read.service(
        'OTEL_EXPORTER_OTLP_ENDPOINT',
        'address of an OpenTelemetry collector, https or http on this machine, that receives the traces of unary calls by OTLP over HTTP. Without it there are none, at no cost',
      ),
      headers: read.list('OTEL_EXPORTER_OTLP_HEADERS', 'headers for the collector, as name=value', []),
      serviceName: read.text('OTEL_SERVICE_NAME', 'name of the service in traces', 'discuss-service'),
      percent: read.count(
        'OTEL_TRACES_PERCENT',
        'share of the calls without a `traceparent` of their client that are traced, in percent; others are if their client traces them',
        100,
      ),
    },
    call: {
      maxMessageBytes: read.count(
        'MAX_MESSAGE_BYTES',
        'upper bound of the maximum size of a request, which each RPC sets (`max_request_bytes`, 64 KiB by default)',
        1_048_576,
        1,
      ),
      defaultDeadlineMs: read.count('DEFAULT_DEADLINE_MS', 'deadline of calls that set none', 15_000, 1),
      maxDeadlineMs: read.count('MAX_DEADLINE_MS', 'maximum deadline', 60_000, 1),
      drainDelayMs: read.count(
        'DRAIN_DELAY_MS',
        'time after SIGTERM in which new calls are still served, while health already reports NOT_SERVING: at least as long as load balancers need to notice',
        5_000,
      ),
      drainTimeoutMs: read.count(
        'DRAIN_TIMEOUT_MS',
        'time for running calls to finish when the service stops',
        10_000,
      ),
      reads: read.count(
        'CALL_READS',
        'unary reads that an instance serves at a time; others wait for their turn. A tenant has at most half of them, or a quarter while others make calls; a user has an eighth',
        32,
        1,
      ),
      queueSize: read.count(
        'CALL_QUEUE_SIZE',
        'calls that may wait to enter, and reads that may wait; of more, the newest of the user and tenant with the most is rejected (OVERLOADED)',
        2_000,
        1,
      ),
      pendingBytes: read.count(
        'PENDING_RESPONSE_BYTES',
        'bytes of responses, and of streams that have ended, that the clients of one user may leave unread on an instance, over both edges, before further calls are rejected (OVERLOADED)',
        8_388_608,
        1,
      ),
      pendingTimeoutMs: read.count(
        'PENDING_RESPONSE_TIMEOUT_MS',
        'time for a client to read a response, or what remains of an ended stream, before it is cut off',
        30_000,
        1,
      ),
    },
  };
}
