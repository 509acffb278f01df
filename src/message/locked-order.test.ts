import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { type App, type As, app, CONCURRENT } from '../../test/kit/app.ts';
import { SendStream } from '../../test/kit/send-stream.ts';
import { until } from '../../test/kit/until.ts';

const ana: As = { userId: 1n, tenantId: 1n };

describe('messages of a channel that another transaction locks', () => {
  let the: App;

  before(async () => {
    the = await app({ ...CONCURRENT, WRITE_BATCH_SIZE: '2', WRITE_BATCH_CONNECTIONS: '1' });
  });
  after(() => the.close());

  const createChannel = async () => {
    const { channel } = await the.client(ChannelService, ana).createChannel({ name: 'Kho' });
    return channel?.id ?? 0n;
  };
  const countQueued = async () =>
    (await the.instances[0]?.deps.metrics.writesWaiting.get())?.values[0]?.value ?? 0;
  const untilQueued = (count: number) =>
    until(async () => (await countQueued()) === count, `${count} waiting messages`);
  /** Locks until `release` is called. */
  const lock = async (table: 'channels' | 'channel_members', channelId: bigint) => {
    const [locked, released] = [Promise.withResolvers<number>(), Promise.withResolvers<void>()];
    const column = table === 'channels' ? 'id' : 'channel_id';
    const ended = the.owner.begin(async (sql) => {
      await sql`select from ${sql(table)} where ${sql(column)} = ${channelId} for update`;
      const [row] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
      locked.resolve(row?.pid ?? 0);
      await released.promise;
    });
    return { pid: await locked.promise, release: () => [released.resolve(), ended][1] };
  };

  it('are posted in their order, also those that waited for a place in a batch', async () => {
    const [a, b, c, d] = [
      await createChannel(),
      await createChannel(),
      await createChannel(),
      await createChannel(),
    ];
    const headers = { authorization: `Bearer ${await the.tokens.sign(ana)}` };
    using stream = new SendStream(the.instances[0]?.grpcAddress ?? '', headers);
    const send = (channelId: bigint) => stream.send({ channelId, content: 'tin' });
    // The sender's row is updated by the batch, which waits for the lock.
    const [ofA, ofB, ofD] = [
      await lock('channels', a),
      await lock('channel_members', b),
      await lock('channel_members', d),
    ];
    send(b);
    await untilQueued(0);
    await until(() => isAwaited(the, ofB.pid), 'the first batch');
    const first = [a, c, d, c, a].map(send);
    await untilQueued(5);
    await ofB.release();
    await until(
      async () => stream.outcomes.length === 2 && (await isAwaited(the, ofD.pid)),
      'the third batch',
    );
    const queued = await countQueued();
    const last = send(a);
    await untilQueued(queued + 1);
    await ofA.release();
    await stream.untilOutcomes(4);
    await ofD.release();
    await stream.untilOutcomes(7);
    const ids = new Map(
      stream.outcomes.map(({ requestId, outcome }) => [
        requestId,
        outcome.case === 'response' ? outcome.value.message?.id : undefined,
      ]),
    );
    const posted = [first[0], first[4], last].map((requestId) => ids.get(requestId ?? '') ?? 0n);
    assert.deepEqual(
      posted,
      posted.toSorted((x, y) => (x < y ? -1 : 1)),
    );
    assert.ok(posted.every((id) => id > 0n));
  });
});

/** Whether a batch waits for the locks of a connection. */
async function isAwaited(the: App, pid: number): Promise<boolean> {
  const rows = await the.owner`
    select
    from pg_stat_activity
    where datname = current_database() and query like '%send_message%' and ${pid} = any(pg_blocking_pids(pid))
  `;
  return rows.length > 0;
}
