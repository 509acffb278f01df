import { setTimeout as sleep } from 'node:timers/promises';
import { Code, ConnectError } from '@connectrpc/connect';
import { SearchService } from '#gen/serp/discuss/v1/search_service_pb.ts';
import type { Fault, Report } from '../run.ts';
import { SETTINGS, type TestCluster } from '../world.ts';
import { streamsStayed } from './promises.ts';

// What a subscriber waits at most for a message that Redis did not bring: a sweep of the log, and the way there.
const BY_LOG_SECONDS = 2;
// Senders must not notice that Redis is away.
const UNNOTICED_SECONDS = 2;
// Beyond the searches a user has at once, those that come back during the test.
const SOME_SEARCHES = 10;

/** Redis is gone with all it held, and comes back empty. Limits hold meanwhile. */
export function redisStopped(ms: number): Fault {
  return {
    name: 'redis-stopped',
    async run(world) {
      await world.stores.killRedis();
      await Promise.all([sleep(ms), searchTooMuch(world)]);
      await world.stores.startRedis();
    },
    promises: withoutRedis,
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
    promises: withoutRedis,
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
    promises: withoutRedis,
  };
}

/** What instances publish does not reach the others; Redis works otherwise. */
export function redisDropping(ms: number): Fault {
  return {
    name: 'redis-dropping',
    async run({ redis }) {
      redis.mode = 'drop';
      await sleep(ms);
      redis.mode = 'pass';
    },
    promises: (report, { redis }) => [
      ...withoutRedis(report),
      ...(redis.dropped === 0 ? ['there was nothing to be dropped'] : []),
    ],
  };
}

/** Redis keeps its connections and says nothing, as a host does that stands still. */
export function redisStalled(ms: number): Fault {
  return {
    name: 'redis-stalled',
    async run({ redis }) {
      redis.mode = 'stall';
      await sleep(ms);
      redis.mode = 'pass';
    },
    promises: withoutRedis,
  };
}

/** Without Redis everything goes on; messages of the other instance come by the log. */
function withoutRedis(report: Report): string[] {
  return [
    ...streamsStayed(report),
    ...(report.slowestDeliverySeconds > BY_LOG_SECONDS
      ? [`a message took ${report.slowestDeliverySeconds} s to arrive`]
      : []),
    ...(report.pauseSeconds > UNNOTICED_SECONDS
      ? [`no message was acknowledged for ${report.pauseSeconds} s`]
      : []),
    ...Object.keys(report.errors).map((code) => `a client was told ${code}`),
  ];
}

async function searchTooMuch(world: TestCluster): Promise<void> {
  const person = await world.meet('grpc', 0);
  const client = person.client(SearchService, 0);
  const limit = Number(SETTINGS.LIMIT_SEARCH_PER_MINUTE);
  for (let search = 0; search < limit + SOME_SEARCHES; search += 1) {
    try {
      await client.searchMessages({ query: 'bão' });
    } catch (error) {
      if (ConnectError.from(error).code === Code.ResourceExhausted && search >= limit) return;
      throw error;
    }
  }
  world.ledger.break(`more than ${limit} searches a minute are allowed without Redis`);
}
