// usage: npm run demo, while npm start runs in the same folder
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { readDeclarations } from './demo/declaration.ts';
import { Listener } from './demo/listener.ts';
import { type Edge, meetPeople, type Person } from './demo/people.ts';
import { Scene } from './demo/scene.ts';
import { type Sent, Speaker } from './demo/speaker.ts';
import { account, isClean, latencySummary, sendingSummary, table } from './demo/summary.ts';

const EDGES: readonly Edge[] = ['gRPC', 'Connect'];
const MOST_CUTS = 4;
const ALL_MS = 50_000;
const LAST_DELIVERY_MS = 10_000;
const PAGE = 100;

const stopped = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => stopped.abort(new Error('stopped')));
}

try {
  process.exitCode = await main(AbortSignal.any([stopped.signal, AbortSignal.timeout(ALL_MS)]));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

async function main(signal: AbortSignal): Promise<number> {
  const people = await meetPeople();
  const texts = readDeclarations();
  const messages = texts.reduce((sum, { lines }) => sum + lines.length, 0);
  const channelId = await createChannel(people);
  console.log(
    `${texts.length} people read the Universal Declaration of Human Rights to each other, each in their own\n` +
      `language, in channel ${channelId}; ${people.length} follow it, most of them over connections that break.\n`,
  );

  const done = new AbortController();
  const listeners = people.map((person, index) => {
    return new Listener(person, edgeOf(index + 1), channelId, cutsOf(index, messages));
  });
  const speakers = texts.map((_, index) => new Speaker(at(people, index), edgeOf(index), channelId));
  try {
    await Promise.all(listeners.map((listener) => listener.listen(done.signal)));
    const began = performance.now();
    await Promise.all(speakers.map((speaker, index) => speaker.say(at(texts, index).lines, signal)));
    const seconds = (performance.now() - began) / 1000;
    const sent = speakers.flatMap((speaker) => speaker.sent);
    await untilDelivered(listeners, sent.length, signal);
    const isConversationClean = await report({ channelId, listeners, speakers, sent, seconds });
    const isSceneClean = await playScene(people, signal);
    const clean = isConversationClean && isSceneClean;
    console.log(clean ? 'Everything arrived, once and in order.' : 'Something is wrong.');
    return clean ? 0 : 1;
  } finally {
    done.abort();
  }
}

async function createChannel(people: readonly Person[]): Promise<bigint> {
  const connection = at(people, 0).connect('gRPC');
  try {
    const { channel } = await createClient(ChannelService, connection.transport).createChannel({
      name: 'Tuyên ngôn toàn thế giới về nhân quyền',
      memberUserIds: people.slice(1).map(({ userId }) => userId),
      requestId: crypto.randomUUID(),
    });
    return channel?.id ?? 0n;
  } finally {
    connection.cut();
  }
}

// The first is never cut off, the next once, the one after twice, and so on.
function cutsOf(index: number, messages: number): number[] {
  const cuts = index % (MOST_CUTS + 1);
  return Array.from({ length: cuts }, (_, cut) => Math.floor((messages * (cut + 1)) / (cuts + 1)) - index);
}

async function untilDelivered(listeners: readonly Listener[], count: number, signal: AbortSignal) {
  const deadline = performance.now() + LAST_DELIVERY_MS;
  while (listeners.some(({ deliveries }) => deliveries.length < count) && performance.now() < deadline) {
    await sleep(20, undefined, { signal });
  }
}

type Run = {
  readonly channelId: bigint;
  readonly listeners: readonly Listener[];
  readonly speakers: readonly Speaker[];
  readonly sent: readonly Sent[];
  readonly seconds: number;
};

async function report({ channelId, listeners, speakers, sent, seconds }: Run): Promise<boolean> {
  const history = await readHistory(at(speakers, 0).person, channelId);
  const accounts = listeners.map((listener) => account(listener, [...history.keys()]));
  const asSent = sent.every(({ messageId, content }) => history.get(messageId) === content);
  const complete = asSent && history.size === sent.length;
  console.log(sendingSummary(speakers, seconds));
  console.log(`\n${table(accounts)}\n`);
  console.log(latencySummary(listeners, sent));
  if (!complete)
    console.log(`The history has ${history.size} messages, not the ${sent.length} acknowledged.`);
  return complete && accounts.every(isClean);
}

async function playScene(people: readonly Person[], signal: AbortSignal): Promise<boolean> {
  console.log(
    '\nThen they agree on a delivery. What subscribers make of the events is held against what is read:\n',
  );
  const { held, listeners } = await Scene.play(people, edgeOf, signal);
  const sum = (count: (listener: Listener) => number) => listeners.reduce((all, one) => all + count(one), 0);
  const gaps = sum((listener) => listener.gaps + listener.resets);
  const duplicates = sum((listener) => listener.duplicates);
  const events = sum((listener) => listener.events.length);
  console.log(
    `\n${events} events delivered to ${listeners.length} subscribers, ${sum(({ reconnects }) => reconnects)} of ` +
      `them cut off in between: ${duplicates} duplicates, ${gaps} gaps.`,
  );
  return held && gaps + duplicates === 0;
}

/** Contents by message id, oldest first. */
async function readHistory(person: Person, channelId: bigint): Promise<Map<bigint, string>> {
  const connection = person.connect('Connect');
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
  if (item === undefined) throw new RangeError(`nothing at ${index} of ${items.length}`);
  return item;
}
