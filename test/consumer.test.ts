import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { launch, scratchFolder } from '../scripts/lib/processes.ts';
import { toPatchable } from '../src/event/log/wire.ts';
import { type App, app, CONCURRENT } from './kit/app.ts';
import { createRandom } from './kit/random.ts';
import { until } from './kit/until.ts';

const TENANTS = [1n, 2n];
const WRITERS = 4;
const KILLS = 4;

describe('a consumer of StreamTenantEvents', () => {
  let the: App;
  const folder = scratchFolder('discuss-consumer');
  const processed = join(folder.path, 'processed');

  before(async () => {
    the = await app({ ...CONCURRENT, EVENT_REPLAY_PAGE: '25', EVENT_HEARTBEAT_MS: '100' });
    await the.start();
  });
  after(async () => {
    await the.close();
    folder.remove();
  });

  const lines = () => (existsSync(processed) ? readFileSync(processed, 'utf8').trimEnd().split('\n') : []);
  const logged = async () => {
    const rows = await the.owner<{ place: string }[]>`
      select concat_ws(':', tenant_id, channel_id, seq) as place from channel_events
    `;
    return rows.map(({ place }) => place);
  };

  it('ends with exactly the events of the database, however often it is killed', async () => {
    const random = createRandom(20_261_201);
    console.log(`# seed ${random.seed}`);
    const roles = ['discuss.service'];
    const token = await the.tokens.sign({ userId: 0n, tenantId: 0n, roles, tenants: '*' });
    const channels = await Promise.all(
      TENANTS.flatMap((tenantId) => [0, 1, 2].map(() => createChannel(tenantId))),
    );
    let busy = true;
    const writers = Array.from({ length: WRITERS }, (_, writer) => write(writer));
    const slow = holdTransactions();
    let consumer = start(token);
    // A kill that comes between an event and its cursor makes the next process repeat the event.
    const hasRepeated = () => new Set(lines()).size < lines().length;
    for (let kill = 0; kill < KILLS || !hasRepeated(); kill += 1) {
      const enough = lines().length + 10 + random.below(100);
      await until(() => lines().length >= enough, 'events processed', 30_000);
      await end(consumer);
      consumer = start(token);
    }
    busy = false;
    await Promise.all([...writers, slow]);
    const expected = new Set(await logged());
    await until(() => new Set(lines()).size >= expected.size, 'all events processed', 30_000);
    await end(consumer);
    const distinct = [...new Set(lines())];
    assert.deepEqual(distinct.toSorted(), [...expected].toSorted());
    // Of each channel the new ones come in order.
    const last = new Map<string, bigint>();
    for (const place of distinct) {
      const [tenantId, channelId, seq = ''] = place.split(':');
      assert.equal(BigInt(seq), (last.get(`${tenantId}:${channelId}`) ?? 0n) + 1n, place);
      last.set(`${tenantId}:${channelId}`, BigInt(seq));
    }

    async function createChannel(tenantId: bigint): Promise<{ tenantId: bigint; channelId: bigint }> {
      const { channel } = await the
        .client(ChannelService, { userId: 1n, tenantId })
        .createChannel({ name: 'Kho', memberUserIds: [2n] });
      return { tenantId, channelId: channel?.id ?? 0n };
    }

    async function write(writer: number): Promise<void> {
      for (let index = 0; busy; index += 1) {
        const { tenantId, channelId } = random.pick(channels);
        const client = the.client(MessageService, { userId: 1n, tenantId }, 'grpc', writer % 2);
        const { message } = await client.sendMessage({ channelId, content: `${writer}:${index}` });
        const messageId = message?.id ?? 0n;
        if (random.below(4) === 0) await client.addReaction({ channelId, messageId, emoji: '👍' });
        if (random.below(6) === 0) await client.deleteMessage({ channelId, messageId });
      }
    }

    // Transactions that write early and commit late, while others pass them by.
    async function holdTransactions(): Promise<void> {
      const own = await Promise.all(TENANTS.map(createChannel));
      while (busy) {
        const { tenantId, channelId } = random.pick(own);
        const change = { case: 'channelChanged', value: {} } as const;
        const { payload, seqOffset } = toPatchable({ channelId, actorId: 1n, change });
        await the.owner.begin(async (sql) => {
          await sql`select set_config('app.tenant_id', ${`${tenantId}`}, true), set_config('app.role', 'service', true)`;
          await sql`select append_event(${channelId}, 'CHANNEL_CHANGED', 1, ${payload}, ${seqOffset}, null)`;
          await sleep(random.below(120));
        });
      }
    }
  });

  function start(token: string): ChildProcess {
    const addresses = the.instances.map(({ grpcAddress }) => grpcAddress);
    return launch({
      command: [process.execPath, 'test/consumer/consumer.ts', folder.path, ...addresses],
      orphanSignal: 'SIGKILL',
      env: { ...process.env, CONSUMER_TOKEN: token },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  }

  async function end(consumer: ChildProcess): Promise<void> {
    consumer.kill('SIGKILL');
    await once(consumer, 'exit');
  }
});
