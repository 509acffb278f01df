import { setTimeout as sleep } from 'node:timers/promises';
import { ConnectError } from '@connectrpc/connect';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { Fault, Report } from '../run.ts';
import type { TestCluster } from '../test-cluster.ts';
import { noStreamBroke } from './checks.ts';

// Time under load with the standby.
const STANDBY_MS = 3_000;
const FLOOD = 400;
const FLOOD_DEADLINE_MS = 2_000;

/** Ends PostgreSQL without a checkpoint (immediate mode); it recovers when it is started again. */
export function postgresCrashed(ms: number): Fault {
  return {
    name: 'postgres-crashed',
    async run({ stores }) {
      await stores.crashPostgres();
      await sleep(ms);
      await stores.startPostgres();
    },
    check: (report) => [...noStreamBroke(report), ...returned(report, 'UNAVAILABLE')],
  };
}

/** Terminates all connections of the instances, as an operator or a failover does. */
export function postgresCut(rounds: number): Fault {
  return {
    name: 'postgres-connections-cut',
    async run({ stores }) {
      for (let round = 0; round < rounds; round += 1) {
        await stores.cutConnections();
        await sleep(300);
      }
    },
    check: noStreamBroke,
  };
}

/** Resets all connections between the instances and PostgreSQL, as a firewall does that lost its state. */
export function postgresReset(rounds: number): Fault {
  return {
    name: 'postgres-connections-reset',
    async run({ postgres }) {
      for (let round = 0; round < rounds; round += 1) {
        postgres.reset();
        await sleep(300);
      }
    },
    check: noStreamBroke,
  };
}

/** PostgreSQL keeps its connections and does not respond. */
export function postgresStalled(ms: number): Fault {
  return {
    name: 'postgres-stalled',
    async run({ postgres }) {
      postgres.mode = 'stall';
      await sleep(ms);
      postgres.mode = 'pass';
    },
    check: noStreamBroke,
  };
}

/** The network to PostgreSQL drops all packets; later, new connections work, and those of before stay silent. */
export function postgresSilent(ms: number): Fault {
  return {
    name: 'postgres-silent',
    async run({ postgres }) {
      postgres.mode = 'stall';
      postgres.forget();
      await sleep(ms);
      postgres.mode = 'pass';
      // Also those that were opened in the meantime.
      postgres.forget();
    },
    check: (report) => [...noStreamBroke(report), ...returned(report, 'UNAVAILABLE')],
  };
}

/** The primary ends as in a crash, and its synchronous standby is promoted. */
export function postgresFailover(): Fault {
  return {
    name: 'postgres-failover',
    async run({ stores }) {
      await stores.startStandby();
      await sleep(STANDBY_MS);
      await stores.crashPostgres();
      await stores.promoteStandby();
    },
    check: (report) => [...noStreamBroke(report), ...returned(report, 'UNAVAILABLE')],
  };
}

/** A table is locked while far more calls arrive than there are connections. */
export function poolFull(ms: number): Fault {
  return {
    name: 'pool-full',
    async run(cluster) {
      await cluster.stores.owner.begin(async (sql) => {
        await sql`lock table messages in access exclusive mode`;
        await Promise.all([sleep(ms), ...flood(cluster)]);
      });
    },
    check: (report) => [
      ...noStreamBroke(report),
      ...returned(report, 'RESOURCE_EXHAUSTED'),
      ...returned(report, 'DEADLINE_EXCEEDED'),
    ],
  };
}

function flood({ senders, channelIds, ledger }: TestCluster): Promise<void>[] {
  const [channelId = 0n] = channelIds;
  return Array.from({ length: FLOOD }, async (_, index) => {
    const user = senders[index % senders.length]?.user;
    if (user === undefined) return;
    try {
      const client = user.client(MessageService, index % 2);
      await client.listMessages({ channelId }, { timeoutMs: FLOOD_DEADLINE_MS });
    } catch (error) {
      ledger.recordError(ConnectError.from(error), 'ListMessages in a flood');
    }
  });
}

function returned(report: Report, code: string): string[] {
  return report.errors[code] === undefined ? [`no client received ${code}`] : [];
}
