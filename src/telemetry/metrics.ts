import { createServer } from 'node:http';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { type Listening, listen } from './address.ts';

/** All metrics of the service, in one registry per process. */
export type Metrics = ReturnType<typeof createMetrics>;

const seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15];

export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  return {
    registry,
    callSeconds: new Histogram({
      name: 'discuss_rpc_duration_seconds',
      help: 'Time from the start of a call to its response, or to the end of a stream.',
      labelNames: ['service', 'method', 'code'],
      buckets: seconds,
      registers,
    }),
    callsRunning: new Gauge({
      name: 'discuss_rpc_running',
      help: 'Running calls, including streams.',
      labelNames: ['service', 'method'],
      registers,
    }),
    callsWaiting: new Gauge({
      name: 'discuss_calls_waiting',
      help: 'Reads that wait for their turn.',
      registers,
    }),
    items: new Counter({
      name: 'discuss_items_total',
      help: 'Items of batches and of streams of requests, by their outcome.',
      labelNames: ['method', 'code'],
      registers,
    }),
    streamsOpen: new Gauge({
      name: 'discuss_streams_open',
      help: 'Open streams.',
      labelNames: ['edge'],
      registers,
    }),
    listenerErrors: new Counter({
      name: 'discuss_listener_errors_total',
      help: 'Exceptions in listeners of sockets, streams and Redis. Each ended one call or message; all are defects.',
      labelNames: ['listener'],
      registers,
    }),
    responsesCutOff: new Counter({
      name: 'discuss_responses_cut_off_total',
      help: 'Responses that their client did not read in time.',
      registers,
    }),
    writeBatchSize: new Histogram({
      name: 'discuss_write_batch_size',
      help: 'Messages written by one statement.',
      buckets: [1, 2, 4, 8, 16, 32, 64, 128],
      registers,
    }),
    writesWaiting: new Gauge({
      name: 'discuss_writes_waiting',
      help: 'Messages that are queued for the next batch.',
      registers,
    }),
    reactionsWaiting: new Gauge({
      name: 'discuss_reactions_waiting',
      help: 'Reactions that are queued for the next batch of their channel.',
      registers,
    }),
    eventsDelivered: new Counter({
      name: 'discuss_events_delivered_total',
      help: 'Events written to streams.',
      registers,
    }),
    eventsReplayed: new Counter({
      name: 'discuss_events_replayed_total',
      help: 'Events that were read from the log for streams.',
      registers,
    }),
    streamLags: new Counter({
      name: 'discuss_stream_lags_total',
      help: 'Times a stream exceeded its buffer and continued from the log.',
      registers,
    }),
    streamResets: new Counter({
      name: 'discuss_stream_resets_total',
      help: 'Resets: times a stream was asked to reload a channel.',
      registers,
    }),
    relayFailures: new Counter({
      name: 'discuss_relay_failures_total',
      help: 'Batches of events that could not be published to the other instances.',
      registers,
    }),
    relayReceived: new Counter({
      name: 'discuss_relay_received_total',
      help: 'Messages that were received from other instances.',
      registers,
    }),
    relayRejections: new Counter({
      name: 'discuss_relay_rejections_total',
      help: 'Messages on the relay channels of Redis that no instance with a known key sent, or that cannot be decoded.',
      registers,
    }),
    encryptionKeyFailures: new Counter({
      name: 'discuss_encryption_key_failures_total',
      help: 'Keys of encrypted channels that could not be obtained.',
      registers,
    }),
    framesSkipped: new Counter({
      name: 'discuss_frames_skipped_total',
      help: 'Messages not written to a stream because its codec cannot represent them.',
      registers,
    }),
    activitiesParked: new Counter({
      name: 'discuss_activities_parked_total',
      help: 'Messages whose activities this instance gave up to record, after repeated errors. All are defects.',
      registers,
    }),
    presenceChanges: new Counter({
      name: 'discuss_presence_changes_total',
      help: 'Changes of the presence of users that were made by this instance.',
      registers,
    }),
    presenceBroadcasts: new Counter({
      name: 'discuss_presence_broadcasts_total',
      help: 'Presence changes that were broadcast, after debouncing.',
      registers,
    }),
    presenceFailures: new Counter({
      name: 'discuss_presence_failures_total',
      help: 'Times presence or typing could not be read or stored because Redis did not reply.',
      registers,
    }),
    typingBroadcasts: new Counter({
      name: 'discuss_typing_broadcasts_total',
      help: 'Typing changes that were broadcast.',
      registers,
    }),
    liveDelivered: new Counter({
      name: 'discuss_live_delivered_total',
      help: 'Presence and typing messages written to streams.',
      labelNames: ['kind'],
      registers,
    }),
    pollLagSeconds: new Gauge({
      name: 'discuss_log_poll_lag_seconds',
      help: 'Delay of the last poll of the log for missed events.',
      registers,
    }),
    searchLagSeconds: new Gauge({
      name: 'discuss_search_index_lag_seconds',
      help: 'Age of the oldest message that the last run of the search index found.',
      registers,
    }),
    tenantStreamEvents: new Counter({
      name: 'discuss_tenant_stream_events_total',
      help: 'Events sent to tenant streams.',
      registers,
    }),
    tenantStreamHeldSeconds: new Gauge({
      name: 'discuss_tenant_stream_held_seconds',
      help: 'Time for which a committed event has been held back from tenant streams by an older open transaction.',
      registers,
    }),
    cacheReads: new Counter({
      name: 'discuss_cache_reads_total',
      help: 'Reads of a cache in Redis: a hit when PostgreSQL confirmed that the cached version is current, else a miss.',
      labelNames: ['cache', 'result'],
      registers,
    }),
    cacheFailures: new Counter({
      name: 'discuss_cache_failures_total',
      help: 'Times a cache in Redis failed or timed out, after which it is not used for a second.',
      registers,
    }),
    limitFallbacks: new Counter({
      name: 'discuss_limit_fallbacks_total',
      help: 'Limit checks to which Redis did not reply in time.',
      registers,
    }),
    directoryRequests: new Counter({
      name: 'discuss_directory_requests_total',
      help: 'Requests to the directory of users, by result; rejected ones were not sent, as too many were running.',
      labelNames: ['result'],
      registers,
    }),
    attachmentScans: new Counter({
      name: 'discuss_attachment_scans_total',
      help: 'Malware scans of files that ended, by result.',
      labelNames: ['result'],
      registers,
    }),
    scannerAvailable: new Gauge({
      name: 'discuss_scanner_available',
      help: 'Whether clamd was available for the last scan: 1 or 0.',
      registers,
    }),
    tableBytes: new Gauge({
      name: 'discuss_table_bytes',
      help: 'Size of a table with its partitions and indexes.',
      labelNames: ['table'],
      registers,
    }),
    defaultPartitionRows: new Gauge({
      name: 'discuss_default_partition_rows',
      help: 'Rows in the default partition of a table, at most 10,000: partitions were not created in time.',
      labelNames: ['table'],
      registers,
    }),
    partitionsAhead: new Gauge({
      name: 'discuss_partitions_ahead',
      help: 'Partitions of a table that exist for later times or ids.',
      labelNames: ['table'],
      registers,
    }),
    retentionAgeSeconds: new Gauge({
      name: 'discuss_retention_age_seconds',
      help: 'Time since retention last finished; 0 if it never did.',
      registers,
    }),
    standbyReads: new Counter({
      name: 'discuss_standby_reads_total',
      help: 'Reads that the standby could serve, by what happened: served, or late, paused or failed and served by the primary.',
      labelNames: ['result'],
      registers,
    }),
    standbyLagBytes: new Gauge({
      name: 'discuss_standby_lag_bytes',
      help: 'Bytes of the log of PostgreSQL that a connected standby has not applied yet.',
      labelNames: ['standby'],
      registers,
    }),
    standbyLagSeconds: new Gauge({
      name: 'discuss_standby_lag_seconds',
      help: 'Time by which a connected standby applies the log of PostgreSQL late.',
      labelNames: ['standby'],
      registers,
    }),
    databaseWaiting: new Gauge({
      name: 'discuss_database_waiting',
      help: 'Calls that are queued for a database connection.',
      registers,
    }),
  };
}

/** Serves /metrics for Prometheus, /livez: 200 from now on, and /readyz: 200 while `isReady` returns true. */
export async function openMetricsServer(
  address: string,
  metrics: Metrics,
  isReady: () => boolean,
): Promise<Listening> {
  const server = createServer((request, response) => {
    if (request.url === '/metrics') {
      metrics.registry.metrics().then(
        (text) => response.writeHead(200, { 'content-type': metrics.registry.contentType }).end(text),
        () => response.writeHead(500).end(),
      );
    } else if (request.url === '/livez') {
      response.writeHead(200).end();
    } else if (request.url === '/readyz') {
      response.writeHead(isReady() ? 200 : 503).end();
    } else {
      response.writeHead(404).end();
    }
  });
  return listen(server, address);
}
