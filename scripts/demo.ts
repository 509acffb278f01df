// usage: npm run demo, while npm start runs in the same folder
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { readDeclarations } from './demo/declaration.ts';
import { sendImage } from './demo/image.ts';
import { Scenario } from './demo/scenario.ts';
import { DemoSender, type Sent } from './demo/sender.ts';
import { DemoSubscriber } from './demo/subscriber.ts';
import { checkDeliveries, isClean, latencySummary, sendingSummary, table } from './demo/summary.ts';
import { createUsers, type DemoUser, type Edge } from './demo/users.ts';

const EDGES: readonly Edge[] = ['gRPC', 'Connect'];
const MAX_CUTS = 4;
const TIMEOUT_MS = 50_000;
const LAST_DELIVERY_MS = 10_000;
const PAGE = 100;

const stopped = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => stopped.abort(new Error('stopped')));
}

try {
  process.exitCode = await main(AbortSignal.any([stopped.signal, AbortSignal.timeout(TIMEOUT_MS)]));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

async function main(signal: AbortSignal): Promise<number> {
  const users = await createUsers();
  const texts = readDeclarations();
  const messages = texts.reduce((sum, { lines }) => sum + lines.length, 0);
  const channelId = await createChannel(users);
  console.log(
    `${texts.length} users post the Universal Declaration of Human Rights, each in a language of their own, in\n` +
      `channel ${channelId}; ${users.length} users subscribe, most of them over connections that break.\n`,
  );

  const done = new AbortController();
  const subscribers = users.map((user, index) => {
    return new DemoSubscriber(user, edgeOf(index + 1), channelId, cutsOf(index, messages));
  });
  const senders = texts.map((_, index) => new DemoSender(at(users, index), edgeOf(index), channelId));
  try {
    await Promise.all(subscribers.map((subscriber) => subscriber.start(done.signal)));
    const began = performance.now();
    await Promise.all(senders.map((sender, index) => sender.sendAll(at(texts, index).lines, signal)));
    const seconds = (performance.now() - began) / 1000;
    const sent = senders.flatMap((sender) => sender.sent);
    await untilDelivered(subscribers, sent.length, signal);
    const isDeliveryClean = await report({ channelId, subscribers, senders, sent, seconds });
    const isScenarioClean = await runScenario(users, signal);
    const isImageClean = await sendImage(at(users, 0), channelId);
    const hasPassed = isDeliveryClean && isScenarioClean && isImageClean;
    console.log(hasPassed ? 'All events were delivered once and in order.' : 'FAILED: see above.');
    return hasPassed ? 0 : 1;
  } finally {
    done.abort();
  }
}

async function createChannel(users: readonly DemoUser[]): Promise<bigint> {
  const connection = at(users, 0).connect('gRPC');
  try {
    const { channel } = await createClient(ChannelService, connection.transport).createChannel({
      name: 'Tuyên ngôn toàn thế giới về nhân quyền',
      memberUserIds: users.slice(1).map(({ userId }) => userId),
      requestId: crypto.randomUUID(),
    });
    return channel?.id ?? 0n;
  } finally {
    connection.cut();
  }
}

// The connection of the first subscriber is never cut, that of the next one once, then twice, and so on.
function cutsOf(index: number, messages: number): number[] {
  const cuts = index % (MAX_CUTS + 1);
  return Array.from({ length: cuts }, (_, cut) => Math.floor((messages * (cut + 1)) / (cuts + 1)) - index);
}

async function untilDelivered(subscribers: readonly DemoSubscriber[], count: number, signal: AbortSignal) {
  const deadline = performance.now() + LAST_DELIVERY_MS;
  while (subscribers.some(({ deliveries }) => deliveries.length < count) && performance.now() < deadline) {
    await sleep(20, undefined, { signal });
  }
}

type Run = {
  readonly channelId: bigint;
  readonly subscribers: readonly DemoSubscriber[];
  readonly senders: readonly DemoSender[];
  readonly sent: readonly Sent[];
  readonly seconds: number;
};

async function report({ channelId, subscribers, senders, sent, seconds }: Run): Promise<boolean> {
  const history = await readHistory(at(senders, 0).user, channelId);
  const reports = subscribers.map((subscriber) => checkDeliveries(subscriber, [...history.keys()]));
  const isAsSent = sent.every(({ messageId, content }) => history.get(messageId) === content);
  const isComplete = isAsSent && history.size === sent.length;
  console.log(sendingSummary(senders, seconds));
  console.log(`\n${table(reports)}\n`);
  console.log(latencySummary(subscribers, sent));
  if (!isComplete)
    console.log(`The history has ${history.size} messages, not the ${sent.length} acknowledged.`);
  return isComplete && reports.every(isClean);
}

async function runScenario(users: readonly DemoUser[], signal: AbortSignal): Promise<boolean> {
  console.log('\nThen they use the other features. The state derived from events is compared with reads:\n');
  const { passed, subscribers } = await Scenario.run(users, edgeOf, signal);
  const sum = (count: (subscriber: DemoSubscriber) => number) =>
    subscribers.reduce((all, one) => all + count(one), 0);
  const gaps = sum((subscriber) => subscriber.gaps + subscriber.resets);
  const duplicates = sum((subscriber) => subscriber.duplicates);
  const events = sum((subscriber) => subscriber.events.length);
  console.log(
    `\n${events} events delivered to ${subscribers.length} subscribers, ${sum(({ reconnects }) => reconnects)} of ` +
      `which reconnected: ${duplicates} duplicates, ${gaps} gaps.`,
  );
  return passed && gaps + duplicates === 0;
}

/** Contents by message id, oldest first. */
async function readHistory(user: DemoUser, channelId: bigint): Promise<Map<bigint, string>> {
  const connection = user.connect('Connect');
  const client = createClient(MessageService, connection.transport);
  const history = new Map<bigint, string>();
  try {
    for (let pageToken = ''; ; ) {
      const position = { case: 'afterMessageId', value: 0n } as const;
      const page = await client.listMessages({ channelId, position, pageSize: PAGE, pageToken });
      for (const { id, content } of page.messages) history.set(id, content);
      if (page.nextPageToken === '') return history;
      pageToken = page.nextPageToken;
    }
  } finally {
    connection.cut();
  }
}

function edgeOf(index: number): Edge {
  return at(EDGES, index % EDGES.length);
}

function at<T>(items: readonly T[], index: number): T {
  const item = items[index];
  if (item === undefined) throw new RangeError(`no item ${index} of ${items.length}`);
  return item;
}
