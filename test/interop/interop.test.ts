// Skipped unless INTEROP is set to `true` or to a language (`make interop`), because it builds with other toolchains,
// which download packages.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { launch, scratchFolder } from '../../scripts/lib/processes.ts';
import { type App, app } from '../kit/app.ts';
import { until } from '../kit/until.ts';
import { languages, run } from './languages.ts';

const wanted = process.env['INTEROP'];
const TENANT = 1n;
const USER = 101n;
const START_MS = 60_000;
const BUILD_MS = 590_000;
const service = { userId: 0n, tenantId: TENANT, roles: ['discuss.service'] };

suite('examples in other languages', { skip: wanted === undefined }, () => {
  let the: App;
  let env: NodeJS.ProcessEnv;

  before(async () => {
    the = await app();
    env = {
      ...process.env,
      DISCUSS_ADDR: the.instances[0]?.grpcAddress,
      DISCUSS_TOKEN: await the.tokens.sign({ ...service, name: 'orders' }),
      DISCUSS_SERVICE_CONFIG: join(process.cwd(), 'dist', 'proto', 'service-config.json'),
    };
  });
  after(() => the?.close());

  for (const [index, { name, missing, build }] of languages.entries()) {
    if (wanted !== 'true' && wanted !== name) continue;
    const absent = wanted === undefined ? undefined : missing();
    const skip = absent === undefined ? false : `${absent} is not installed`;
    const orderId = BigInt(501 + index);

    test(`${name}: posts as a service and for a user, and consumes events after kills`, {
      skip,
      timeout: BUILD_MS,
    }, async () => {
      const [command = '', ...args] = await build();
      await run(command, [...args, 'notify', `${orderId}`, `${USER}`], process.cwd(), env);
      assert.deepEqual(await messagesOf(orderId), [
        [MessageType.SYSTEM, 0n, `Order ${orderId} was shipped.`],
        [MessageType.TEXT, USER, 'Thank you!'],
      ]);
      const folder = scratchFolder(`discuss-${name}`);
      const processed = join(folder.path, 'processed');
      const lines = () =>
        existsSync(processed) ? readFileSync(processed, 'utf8').trimEnd().split('\n') : [];
      for (let kills = 0; kills < 3; kills += 1) {
        const consumer = launch({
          command: [command, ...args, 'consume', folder.path],
          orphanSignal: 'SIGKILL',
          env,
          stdio: ['ignore', 'inherit', 'inherit'],
        });
        await post(orderId);
        const expected = await logged();
        const isComplete = () => expected.every((place) => new Set(lines()).has(place));
        await until(isComplete, 'all events', START_MS);
        consumer.kill('SIGKILL');
        await once(consumer, 'exit');
        await post(orderId);
      }
      assertInOrder(lines());
      folder.remove();
    });
  }

  async function messagesOf(orderId: bigint) {
    const { channelId } = await topic(orderId);
    const { messages } = await the.client(MessageService, service).listMessages({ channelId });
    return messages
      .filter(({ content }) => content.startsWith('Order') || content.startsWith('Thank'))
      .map(({ type, senderId, content }) => [type, senderId, content]);
  }

  async function topic(orderId: bigint) {
    const entity = { type: 'order', id: orderId };
    const channels = the.client(ChannelService, service);
    const { channel } = await channels.getOrCreateTopicChannel({ name: 'Order', entity });
    return { channelId: channel?.id ?? 0n };
  }

  async function post(orderId: bigint): Promise<void> {
    const { channelId } = await topic(orderId);
    await the.client(MessageService, service).sendMessage({
      channelId,
      type: MessageType.SYSTEM,
      content: 'More',
      requestId: crypto.randomUUID(),
    });
  }

  async function logged(): Promise<string[]> {
    const rows = await the.owner<{ place: string }[]>`
      select concat_ws(':', channel_id, seq) as place from channel_events
    `;
    return rows.map(({ place }) => place);
  }
});

/** Events that a killed consumer had processed but not stored are repeated; otherwise each channel is in order. */
function assertInOrder(lines: readonly string[]): void {
  const last = new Map<string, number>();
  for (const line of lines) {
    const [channel = '', seq] = line.split(':');
    const before = last.get(channel) ?? 0;
    assert.ok(Number(seq) <= before + 1, `${line} follows ${before}`);
    last.set(channel, Math.max(before, Number(seq)));
  }
}
