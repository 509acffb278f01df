import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { type App, app } from '../../test/kit/app.ts';
import { CancelGate } from '../../test/kit/cancel-gate.ts';
import { until } from '../../test/kit/until.ts';
import type { Service } from '../service.ts';

const ana = { userId: 1n, tenantId: 1n };

describe('the cancellation of a statement', () => {
  let the: App;
  let gate: CancelGate;
  let behindGate: Service;

  before(async () => {
    the = await app();
    const url = new URL(the.database.serviceUrl);
    gate = await CancelGate.open(Number(url.port));
    url.port = `${gate.port}`;
    behindGate = await the.start({ DATABASE_URL: url.href, DATABASE_CONNECTIONS: '1' });
  });
  after(async () => {
    gate.release();
    await the.close();
    await gate.close();
  });

  const client = () => the.client(ChannelService, ana, 'grpc', 1);
  const running = async () => {
    const [row] = await the.owner<{ n: number }[]>`
      select count(*)::int as n
      from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock' and query like '%page as materialized%'
    `;
    return row?.n === 1;
  };
  const whileLocked = (work: () => Promise<void>) =>
    the.owner.begin(async (sql) => {
      await sql`lock table channels in access exclusive mode`;
      await work();
    });
  /** Ends a call while its statement runs. */
  const leave = async () => {
    const leaving = new AbortController();
    const left = client()
      .listChannels({}, { signal: leaving.signal })
      .catch(() => {});
    await until(running, 'the statement');
    leaving.abort();
    await left;
  };

  it('does not stop the statement of the next call when it arrives late', async () => {
    const { channel } = await client().createChannel({ name: 'Kho' });
    const queued = async () => {
      const metric = await behindGate.deps.metrics.databaseWaiting.get();
      return metric.values[0]?.value === 1;
    };
    await whileLocked(async () => {
      await leave();
      await until(() => gate.held.length > 0, 'the cancellation');
    });
    let next: Promise<unknown> = Promise.resolve();
    await whileLocked(async () => {
      next = client()
        .listChannels({})
        .then(({ entries }) => entries.map((entry) => entry.channel?.id));
      next.catch(() => {});
      await until(async () => (await queued()) || (await running()), 'the second call');
      gate.release();
      await until(running, 'the second statement');
    });
    assert.deepEqual(await next, [channel?.id]);
  });

  it('does not end the process when PostgreSQL refuses its connection', async () => {
    const rejections: unknown[] = [];
    const onRejection = (error: unknown) => rejections.push(error);
    process.on('unhandledRejection', onRejection);
    gate.refuse();
    await whileLocked(leave);
    const { entries } = await client().listChannels({});
    assert.equal(entries.length, 1);
    process.off('unhandledRejection', onRejection);
    assert.deepEqual(rejections, []);
  });
});
