import { setTimeout as sleep } from 'node:timers/promises';
import { ConnectError } from '@connectrpc/connect';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { Fault, Report } from '../run.ts';
import type { TestCluster } from '../world.ts';
import { streamsStayed } from './promises.ts';

const FLOOD = 400;
const FLOOD_DEADLINE_MS = 2_000;

/** Ends at once and without a checkpoint (immediate mode), and recovers when it is started again. */
export function postgresCrashed(ms: number): Fault {
  return {
    name: 'postgres-crashed',
    async run({ stores }) {
      await stores.crashPostgres();
      await sleep(ms);
      await stores.startPostgres();
    },
    promises: (report) => [...streamsStayed(report), ...told(report, 'UNAVAILABLE')],
  };
}

/** Ends all connections of the instances, as an operator or a failover does. */
export function postgresCut(rounds: number): Fault {
  return {
    name: 'postgres-connections-cut',
    async run({ stores }) {
      for (let round = 0; round < rounds; round += 1) {
        await stores.cutConnections();
        await sleep(300);
      }
    },
    promises: streamsStayed,
  };
}

/** All connections break on their way, by a reset, as when a firewall forgets them. */
export function postgresReset(rounds: number): Fault {
  return {
    name: 'postgres-connections-reset',
    async run({ postgres }) {
      for (let round = 0; round < rounds; round += 1) {
        postgres.reset();
        await sleep(300);
      }
    },
    promises: streamsStayed,
  };
}

/** Keeps its connections and says nothing. */
export function postgresStalled(ms: number): Fault {
  return {
    name: 'postgres-stalled',
    async run({ postgres }) {
      postgres.mode = 'stall';
      await sleep(ms);
      postgres.mode = 'pass';
    },
    promises: streamsStayed,
  };
}

/** Somebody keeps a table locked, and far more calls come than there are connections. */
export function poolFull(ms: number): Fault {
  return {
    name: 'pool-full',
    async run(world) {
      await world.stores.owner.begin(async (sql) => {
        await sql`lock table messages in access exclusive mode`;
        await Promise.all([sleep(ms), ...flood(world)]);
      });
    },
    promises: (report) => [
      ...streamsStayed(report),
      ...told(report, 'RESOURCE_EXHAUSTED'),
      ...told(report, 'DEADLINE_EXCEEDED'),
    ],
  };
}

function flood({ senders, channelIds, ledger }: TestCluster): Promise<void>[] {
  const [channelId = 0n] = channelIds;
  return Array.from({ length: FLOOD }, async (_, index) => {
    const person = senders[index % senders.length]?.person;
    if (person === undefined) return;
    try {
      const client = person.client(MessageService, index % 2);
      await client.listMessages({ channelId }, { timeoutMs: FLOOD_DEADLINE_MS });
    } catch (error) {
      ledger.note(ConnectError.from(error), 'ListMessages in a flood');
    }
  });
}

function told(report: Report, code: string): string[] {
  return report.errors[code] === undefined ? [`nobody was told ${code}`] : [];
}
