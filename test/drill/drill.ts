import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { App, type As } from '../kit/app.ts';
import { assertNothingToRepair } from '../kit/reconcile.ts';
import { freshRedis } from '../kit/redis.ts';
import { Subscriber } from '../kit/stream.ts';
import { TenantStreamReader } from '../kit/tenant-stream-reader.ts';
import { createTokenSigner } from '../kit/tokens.ts';
import { until } from '../kit/until.ts';
import { ArchivingPostgres } from './cluster.ts';

const tenantId = 1n;
const ana: As = { userId: 1n, tenantId };
const crm: As = { userId: 0n, tenantId, roles: ['discuss.service'] };
const POINT = 'drill';
const WAIT_MS = 120_000;

export type DrillSize = {
  readonly channels: number;
  readonly fsync: boolean;
  /** Duration of the load before the backup, between backup and restore point, and after it. */
  readonly loadMs: number;
};

export type DrillReport = {
  readonly acknowledged: number;
  readonly lost: number;
  readonly backupMs: number;
  readonly restoreMs: number;
};

type Sent = { readonly id: bigint; readonly content: string };

/**
 * Takes a backup under load, destroys the database, restores it to a point in time, and asserts that every message that was
 * acknowledged before exists, and that streams with cursors of what was lost receive RESET without any action.
 */
export async function runDrill(
  { channels, loadMs, fsync }: DrillSize,
  log: (line: string) => void,
): Promise<DrillReport> {
  await using owned = new AsyncDisposableStack();
  const cluster = owned.use(await ArchivingPostgres.open(fsync));
  const [redis, tokens] = [await freshRedis(false), await createTokenSigner()];
  const env = { DATABASE_STARTUP_TIMEOUT_MS: '60000' };
  const the = new App({ database: cluster.database, redis, tokens, env });
  owned.defer(() => the.close());
  await the.start();
  const channelIds = await createChannels(the, channels);
  const load = new Load(the, channelIds);
  const subscriber = await new Subscriber(the.client(EventService, ana), channelIds).connect();
  const reader = await new TenantStreamReader().connect(the.client(EventService, crm));

  load.start();
  await sleep(loadMs);
  const backupMs = await timed(() => cluster.backup());
  log(`base backup under load: ${backupMs} ms`);
  await sleep(loadMs);
  const before = [...load.sent];
  await the.owner`select pg_create_restore_point(${POINT})`;
  await sleep(loadMs);
  await load.stop();
  const lost = load.sent.slice(before.length);
  await until(() => reader.texts.length >= load.sent.length, 'the tenant stream', WAIT_MS);
  await until(() => subscriber.changes.length >= load.sent.length, 'the subscriber', WAIT_MS);
  await archived(the);
  log(`${before.length} messages before the restore point, ${lost.length} after it`);

  await cluster.destroy();
  const restoreMs = await timed(() => cluster.restore({ kind: 'name', value: POINT }));
  log(`restored after ${restoreMs} ms`);
  await until(() => subscriber.error !== undefined, 'the end of the stream', WAIT_MS);
  await assertRestored(the, before, lost);
  await assertResets(the, { subscriber, reader, channelIds });
  const sent = await load.send(channelIds[0] ?? 0n, 'sau khi khôi phục');
  assert.ok(
    load.sent.every(({ id }) => id <= sent.id),
    'ids of lost messages are not used again',
  );
  await until(() => subscriber.messages(channelIds[0] ?? 0n).includes(sent.content), 'delivery', WAIT_MS);
  await until(() => reader.texts.includes(sent.content), 'delivery to the tenant stream', WAIT_MS);
  await assertNothingToRepair(the);
  await subscriber.disconnect();
  await reader.disconnect();
  return { acknowledged: before.length, lost: lost.length, backupMs, restoreMs };
}

async function createChannels(the: App, count: number): Promise<bigint[]> {
  const client = the.client(ChannelService, ana);
  const ids: bigint[] = [];
  for (let index = 0; index < count; index += 1)
    ids.push((await client.createChannel({ name: `Kho ${index}` })).channel?.id ?? 0n);
  return ids;
}

/** Sends messages one after the other in each channel, and keeps those that were acknowledged. */
class Load {
  readonly sent: Sent[] = [];
  readonly #app: App;
  readonly #channelIds: readonly bigint[];
  #running: Promise<void>[] = [];
  #isStopped = false;

  constructor(the: App, channelIds: readonly bigint[]) {
    this.#app = the;
    this.#channelIds = channelIds;
  }

  start(): void {
    this.#running = this.#channelIds.map(async (channelId) => {
      while (!this.#isStopped) await this.send(channelId, crypto.randomUUID());
    });
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#running);
  }

  async send(channelId: bigint, content: string): Promise<Sent> {
    const { message } = await this.#app.client(MessageService, ana).sendMessage({ channelId, content });
    const sent = { id: message?.id ?? 0n, content };
    this.sent.push(sent);
    return sent;
  }
}

/** Waits until all WAL up to now is archived, as a real archive has it after archive_timeout. */
async function archived({ owner }: App): Promise<void> {
  const [row] = await owner<{ file: string }[]>`select pg_walfile_name(pg_switch_wal()) as file`;
  await until(
    async () => {
      const [stat] = await owner<{ last: string | null }[]>`
        select last_archived_wal as last from pg_stat_archiver
      `;
      return (stat?.last ?? '') >= (row?.file ?? '');
    },
    'the archive',
    WAIT_MS,
  );
}

async function assertRestored({ owner }: App, before: readonly Sent[], lost: readonly Sent[]): Promise<void> {
  const rows = await owner<{ id: bigint; content: string }[]>`select id, content from messages`;
  const contents = new Map(rows.map(({ id, content }) => [id, content]));
  const missing = before.filter(({ id, content }) => contents.get(id) !== content);
  assert.deepEqual(missing, [], 'acknowledged before the restore point');
  assert.ok(lost.length > 0 && lost.some(({ content }) => !rows.some((row) => row.content === content)));
}

/** Both streams resume with cursors of what was lost. */
async function assertResets(
  the: App,
  streams: {
    readonly subscriber: Subscriber;
    readonly reader: TenantStreamReader;
    readonly channelIds: readonly bigint[];
  },
): Promise<void> {
  const { subscriber, reader, channelIds } = streams;
  await until(
    () =>
      subscriber.connect().then(
        () => true,
        () => false,
      ),
    'the subscriber resumes',
    WAIT_MS,
  );
  await until(() => subscriber.count('reset') >= channelIds.length, 'RESET of each channel', WAIT_MS);
  // Its stream stayed open, or ended with the connections.
  if (reader.error !== undefined)
    await until(
      () =>
        reader.connect(the.client(EventService, crm)).then(
          () => true,
          () => false,
        ),
      'the tenant stream resumes',
      WAIT_MS,
    );
  await until(() => reader.count('reset') > 0, 'RESET of the tenant stream', WAIT_MS);
}

async function timed(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return Math.round(performance.now() - start);
}
