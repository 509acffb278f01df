import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code, ConnectError } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { type App, app } from './kit/app.ts';
import { createRandom } from './kit/random.ts';
import { until } from './kit/until.ts';

const ana = { userId: 1n, tenantId: 1n };
const CONNECTIONS = 4;

describe('a call that nobody waits for any more', () => {
  let the: App;

  before(async () => {
    the = await app({ DATABASE_CONNECTIONS: `${CONNECTIONS}` });
  });
  after(() => the.close());

  /** Statements of ListChannels that wait for the lock. Those of jobs may wait for it, too. */
  const waiting = async () => {
    const [row] = await the.owner<{ n: number }[]>`
      select count(*)::int as n
      from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock' and query like '%page as materialized%'
    `;
    return row?.n ?? 0;
  };

  for (const edge of ['grpc', 'web'] as const) {
    it(`stops its statement when the deadline passes or the client leaves, on the ${edge} edge`, async () => {
      const client = the.client(ChannelService, ana, edge);
      await the.owner.begin(async (sql) => {
        await sql`lock table channels in access exclusive mode`;
        // On a slow machine, a short deadline can pass before the statement runs.
        for (let timeoutMs = 400, ran = false; !ran; timeoutMs *= 2) {
          let late: unknown;
          const call = client.listChannels({}, { timeoutMs }).catch((error) => {
            late = error;
          });
          await until(async () => {
            ran ||= (await waiting()) === 1;
            return ran || late !== undefined;
          });
          await call;
          assert.equal(codeOf(late), Code.DeadlineExceeded);
        }
        await until(async () => (await waiting()) === 0, 'the end of the late statement');

        const leaving = new AbortController();
        const left = client
          .listChannels({}, { signal: leaving.signal, timeoutMs: 30_000 })
          .catch((error) => error);
        await until(async () => (await waiting()) === 1);
        leaving.abort();
        const error = await left;
        assert.equal(codeOf(error), Code.Canceled, String(error));
        await until(async () => (await waiting()) === 0, 'the end of the abandoned statement');
      });
      await client.listChannels({});
    });
  }

  for (const [edge, name, timeout] of [
    ['grpc', 'grpc-timeout', '2592000S'],
    ['grpc', 'grpc-timeout', '99999999H'],
    ['web', 'connect-timeout-ms', '9999999999'],
  ] as const) {
    it(`runs with the longest deadline when the client's timeout is ${timeout}, on the ${edge} edge`, async () => {
      const client = the.client(ChannelService, ana, edge);
      let call: Promise<unknown> = Promise.resolve();
      let ended = false;
      await the.owner.begin(async (sql) => {
        await sql`lock table channels in access exclusive mode`;
        call = client.listChannels({}, { headers: { [name]: timeout } }).finally(() => {
          ended = true;
        });
        call.catch(() => {});
        await until(async () => ended || (await waiting()) === 1, 'a statement that waits');
      });
      await call;
    });
  }

  it('leaves no connection to PostgreSQL in use when clients leave at any moment', async () => {
    const random = createRandom(20_261_127);
    console.log(`# seed ${random.seed}`);
    const client = the.client(ChannelService, ana);
    const callers = Array.from({ length: 8 }, async () => {
      for (let calls = 0; calls < 60; calls += 1) {
        const leaving = new AbortController();
        const left = client.listChannels({}, { signal: leaving.signal }).catch(() => {});
        await new Promise((resolve) => setTimeout(resolve, random.below(8)));
        leaving.abort();
        await left;
      }
    });
    await Promise.all(callers);
    // More than there are connections.
    await Promise.all(Array.from({ length: 2 * CONNECTIONS }, () => client.listChannels({})));
  });

  it('starts a stream when its timeout is longer than one of PostgreSQL can be', async () => {
    const abort = new AbortController();
    const options = { headers: { 'connect-timeout-ms': '9999999999' }, signal: abort.signal };
    const stream = the.client(EventService, ana, 'web').subscribe({}, options)[Symbol.asyncIterator]();
    const { value } = await stream.next();
    assert.equal(value?.payload.case, 'started');
    abort.abort();
  });
});

function codeOf(answer: unknown): Code {
  return ConnectError.from(answer).code;
}
