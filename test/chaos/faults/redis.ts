import { setTimeout as sleep } from 'node:timers/promises';
import { Code, ConnectError } from '@connectrpc/connect';
import { SearchService } from '#gen/serp/discuss/v1/search_service_pb.ts';
import type { Fault, Report } from '../run.ts';
import { SETTINGS, type TestCluster } from '../test-cluster.ts';
import { noStreamBroke } from './checks.ts';

// Longest delivery of a message that Redis did not carry: the interval at which the log is polled, and a reserve.
const MAX_DELIVERY_SECONDS = 2;
// Senders must not be delayed by an outage of Redis.
const MAX_PAUSE_SECONDS = 2;
// Searches beyond the limit that are refilled during the test.
const REFILLED_SEARCHES = 10;

/** Redis is stopped and restarted empty. Rate limits apply meanwhile. */
export function redisStopped(ms: number): Fault {
  return {
    name: 'redis-stopped',
    async run(cluster) {
      await cluster.stores.killRedis();
      await Promise.all([sleep(ms), exceedSearchLimit(cluster)]);
      await cluster.stores.startRedis();
    },
    check: serviceWasUnaffected,
  };
}

export function redisRestarted(rounds: number): Fault {
  return {
    name: 'redis-restarted',
    async run({ stores }) {
      for (let round = 0; round < rounds; round += 1) {
        await stores.killRedis();
        await stores.startRedis();
        await sleep(300);
      }
    },
    check: serviceWasUnaffected,
  };
}

export function redisFlushed(rounds: number): Fault {
  return {
    name: 'redis-flushed',
    async run({ stores }) {
      for (let round = 0; round < rounds; round += 1) {
        await stores.flushRedis();
        await sleep(200);
      }
    },
    check: serviceWasUnaffected,
  };
}

/** Published messages are dropped; Redis works otherwise. */
export function redisDropping(ms: number): Fault {
  return {
    name: 'redis-dropping',
    async run({ redis }) {
      redis.mode = 'drop';
      await sleep(ms);
      redis.mode = 'pass';
    },
    check: (report, { redis }) => [
      ...serviceWasUnaffected(report),
      ...(redis.dropped === 0 ? ['no message was dropped'] : []),
    ],
  };
}

/** Redis keeps its connections and does not respond, like a frozen host. */
export function redisStalled(ms: number): Fault {
  return {
    name: 'redis-stalled',
    async run({ redis }) {
      redis.mode = 'stall';
      await sleep(ms);
      redis.mode = 'pass';
    },
    check: serviceWasUnaffected,
  };
}

/** The network to Redis drops all packets; later, new connections work, and those of before stay silent. */
export function redisSilent(ms: number): Fault {
  return {
    name: 'redis-silent',
    async run({ redis }) {
      redis.mode = 'stall';
      redis.forget();
      await sleep(ms);
      redis.mode = 'pass';
      redis.forget();
    },
    check: serviceWasUnaffected,
  };
}

/** The service works without Redis; messages of the other instance are delivered from the log. */
function serviceWasUnaffected(report: Report): string[] {
  // On a slow machine, where a fault takes longer, less than the fault: a delivery does not wait for Redis.
  const maxDeliverySeconds = Math.max(MAX_DELIVERY_SECONDS, report.seconds / 2);
  return [
    ...noStreamBroke(report),
    ...(report.slowestDeliverySeconds > maxDeliverySeconds
      ? [`a message took ${report.slowestDeliverySeconds} s to arrive`]
      : []),
    ...(report.pauseSeconds > MAX_PAUSE_SECONDS
      ? [`no message was acknowledged for ${report.pauseSeconds} s`]
      : []),
    ...Object.keys(report.errors).map((code) => `a client received ${code}`),
  ];
}

async function exceedSearchLimit(cluster: TestCluster): Promise<void> {
  const user = await cluster.createUser('grpc', 0);
  const client = user.client(SearchService, 0);
  const limit = Number(SETTINGS.LIMIT_SEARCH_PER_MINUTE);
  for (let search = 0; search < limit + REFILLED_SEARCHES; search += 1) {
    try {
      await client.searchMessages({ query: 'bão' });
    } catch (error) {
      if (ConnectError.from(error).code === Code.ResourceExhausted && search >= limit) return;
      throw error;
    }
  }
  cluster.ledger.addViolation(`more than ${limit} searches a minute are allowed without Redis`);
}
