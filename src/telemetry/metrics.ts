import { createServer } from 'node:http';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { type Listening, listen } from './address.ts';

/** Everything the service counts, in one registry per process. */
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
      help: 'Time from a call to its answer; of a stream, to its end.',
      labelNames: ['service', 'method', 'code'],
      buckets: seconds,
      registers,
    }),
    callsRunning: new Gauge({
      name: 'discuss_rpc_running',
      help: 'Calls being served, streams included.',
      labelNames: ['service', 'method'],
      registers,
    }),
    streamsOpen: new Gauge({
      name: 'discuss_streams_open',
      help: 'Streams open.',
      labelNames: ['edge'],
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
      help: 'Messages that wait for the next batch.',
      registers,
    }),
    eventsDelivered: new Counter({
      name: 'discuss_events_delivered_total',
      help: 'Events written to streams.',
      registers,
    }),
    eventsReplayed: new Counter({
      name: 'discuss_events_replayed_total',
      help: 'Events that streams were given from the log.',
      registers,
    }),
    streamLags: new Counter({
      name: 'discuss_stream_lags_total',
      help: 'Times a stream fell behind and went on from the log.',
      registers,
    }),
    streamResets: new Counter({
      name: 'discuss_stream_resets_total',
      help: 'Times a stream was told to read a channel anew.',
      registers,
    }),
    relayFailures: new Counter({
      name: 'discuss_relay_failures_total',
      help: 'Batches of events that could not be published to the other instances.',
      registers,
    }),
    presenceChanges: new Counter({
      name: 'discuss_presence_changes_total',
      help: 'Changes of what others see of users, made by this instance.',
      registers,
    }),
    presenceNews: new Counter({
      name: 'discuss_presence_news_total',
      help: 'Users whose presence others were told of, after changes were gathered.',
      registers,
    }),
    presenceFailures: new Counter({
      name: 'discuss_presence_failures_total',
      help: 'Times presence or typing was unknown or not kept because Redis did not answer.',
      registers,
    }),
    typingNews: new Counter({
      name: 'discuss_typing_news_total',
      help: 'Times other members were told that somebody types or stopped.',
      registers,
    }),
    liveDelivered: new Counter({
      name: 'discuss_live_delivered_total',
      help: 'Messages about presence and typing written to streams.',
      labelNames: ['kind'],
      registers,
    }),
    sweepLagSeconds: new Gauge({
      name: 'discuss_hub_sweep_lag_seconds',
      help: 'How late the last sweep for missed events began.',
      registers,
    }),
    feedEvents: new Counter({
      name: 'discuss_feed_events_total',
      help: 'Events sent to feeds of tenants.',
      registers,
    }),
    feedHeldSeconds: new Gauge({
      name: 'discuss_feed_held_seconds',
      help: 'How long a committed event has been kept from feeds by an older transaction that goes on.',
      registers,
    }),
    cacheReads: new Counter({
      name: 'discuss_cache_reads_total',
      help: 'Reads of a cache in Redis: hit when PostgreSQL said that what it held is current, else miss.',
      labelNames: ['cache', 'result'],
      registers,
    }),
    cacheFailures: new Counter({
      name: 'discuss_cache_failures_total',
      help: 'Times a cache in Redis was away or slow and did without for a second.',
      registers,
    }),
    limitFallbacks: new Counter({
      name: 'discuss_limit_fallbacks_total',
      help: 'Questions about limits that Redis did not answer in time.',
      registers,
    }),
    databaseWaiting: new Gauge({
      name: 'discuss_database_waiting',
      help: 'Calls that wait for a database connection.',
      registers,
    }),
  };
}

/** Serves /metrics for Prometheus, and /healthz: 200 while `healthy` answers true. */
export async function openMetricsServer(
  address: string,
  metrics: Metrics,
  healthy: () => boolean,
): Promise<Listening> {
  const server = createServer((request, response) => {
    if (request.url === '/metrics') {
      metrics.registry.metrics().then(
        (text) => response.writeHead(200, { 'content-type': metrics.registry.contentType }).end(text),
        () => response.writeHead(500).end(),
      );
    } else if (request.url === '/healthz') {
      response.writeHead(healthy() ? 200 : 503).end();
    } else {
      response.writeHead(404).end();
    }
  });
  return listen(server, address);
}
