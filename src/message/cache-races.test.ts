import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { toJson } from '@bufbuild/protobuf';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import {
  type ListMessagesResponse,
  ListMessagesResponseSchema,
  MessageService,
} from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app, CONCURRENT } from '../../test/kit/app.ts';
import { createRandom } from '../../test/kit/random.ts';
import type { RedisClient } from '../redis/client.ts';

const tenantId = 1n;
const people: readonly As[] = Array.from({ length: 12 }, (_, index) => ({
  userId: BigInt(index + 1),
  tenantId,
}));
const ENOUGH = 12;
const DEADLINE_MS = 60_000;
const QUIET_MS = 20;
const SIZES = [5, 50];
/** The last one has no cache. */
const INSTANCES = [0, 1, 2];

/** What was acknowledged of one thing that one person at a time changes. */
type Acknowledged = { value: string; changing: boolean; changes: number };

describe('readers of the newest messages', () => {
  let the: App;
  let redis: RedisClient;
  let channelId: bigint;
  const random = createRandom(20_261_122);
  const texts = new Map<bigint, Acknowledged>();
  const reactions = new Map<string, Acknowledged>();
  const ids: bigint[] = [];
  /** Answers by size, and by the channel's head they say: all with the same must be the same. */
  const answers = new Map<string, string>();
  const done = {
    sends: 0,
    edits: 0,
    deletions: 0,
    reactions: 0,
    removals: 0,
    lateFills: 0,
    reads: 0,
    same: 0,
  };
  const late: (() => void)[] = [];

  before(async () => {
    the = await app(CONCURRENT);
    await the.start();
    await the.start({ CACHE_MESSAGES: 'false' });
    redis = the.redis.client;
    const memberUserIds = people.map(({ userId }) => userId);
    const { channel } = await the
      .client(ChannelService, people[0] as As)
      .createChannel({ name: 'Kho', memberUserIds });
    channelId = channel?.id ?? 0n;
    for (let index = 0; index < 60; index += 1) await send(people[0] as As);
    // An instance that is paused after it has read: it keeps what it read whenever it goes on.
    const cache = the.instances[1]?.deps.messageCache ?? assert.fail();
    const keep = cache.keep.bind(cache);
    cache.keep = (...read) => void late.push(() => keep(...read));
  });
  after(() => the.close());

  it('see every acknowledged change, and the same page as other readers', async () => {
    console.log(`# seed ${random.seed}`);
    const end = performance.now() + DEADLINE_MS;
    let quiet = Promise.resolve();
    let over = false;
    const repeat = async (act: () => Promise<unknown>) => {
      while (!over && performance.now() < end) {
        await quiet;
        await act();
        await turn();
      }
    };
    const pause = async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      quiet = promise;
      await sleep(QUIET_MS);
      for (const size of [...SIZES, ...SIZES, ...SIZES]) {
        await Promise.all(INSTANCES.map((instance) => read(instance, size)));
      }
      resolve();
      await sleep(QUIET_MS);
      over = Object.values({ ...done, hits: await hits() }).every((count) => count >= ENOUGH);
    };
    const pausing = async () => {
      while (!over && performance.now() < end) await pause();
    };
    try {
      await Promise.all([
        repeat(() => send(random.pick(people))),
        ...[0, 1].map((writer) => repeat(() => change(writer))),
        ...[0, 1].map((writer) => repeat(() => react(writer))),
        ...INSTANCES.flatMap((instance) => SIZES.map((size) => repeat(() => read(instance, size)))),
        repeat(fillLate),
        repeat(removeKeys),
        pausing(),
      ]);
    } finally {
      over = true;
    }
    console.log(`# ${JSON.stringify({ ...done, hits: await hits() })}`);
    assert.ok(performance.now() < end, `not everything was done ${ENOUGH} times: too few to tell`);
  });

  /** Answers that the first instance gave from the cache. */
  async function hits(): Promise<number> {
    const { values } = (await the.instances[0]?.deps.metrics.cacheReads.get()) ?? { values: [] };
    return values.find(({ labels }) => labels.result === 'hit')?.value ?? 0;
  }

  const client = (as: As) => the.client(MessageService, as, 'grpc', random.below(2));

  async function send(as: As): Promise<void> {
    const { message } = await client(as).sendMessage({ channelId, content: 'bản 0' });
    const id = message?.id ?? 0n;
    texts.set(id, { value: 'bản 0', changing: false, changes: 0 });
    authors.set(id, as);
    ids.push(id);
    ids.sort((a, b) => (a < b ? -1 : 1));
    done.sends += 1;
  }

  /** Edits a message or, now and then, deletes it. Each writer has messages of its own. */
  async function change(writer: number): Promise<void> {
    const messageId = random.pick(ids.slice(-40).filter((id) => Number(id % 2n) === writer));
    const text = texts.get(messageId) ?? assert.fail();
    if (text.value === '') return;
    const by = client(authors.get(messageId) ?? assert.fail());
    await changing(text, async () => {
      if (random.below(3) === 0) {
        await by.deleteMessage({ channelId, messageId });
        done.deletions += 1;
        return '';
      }
      const content = `bản ${text.changes + 1}`;
      await by.editMessage({ channelId, messageId, content, updateMask: { paths: ['content'] } });
      done.edits += 1;
      return content;
    });
  }

  async function react(writer: number): Promise<void> {
    const messageId = random.pick(ids.slice(-20));
    const as = random.pick(people.filter((_, index) => index % 2 === writer));
    const key = `${messageId} ${as.userId}`;
    const reaction = reactions.get(key) ?? { value: '', changing: false, changes: 0 };
    reactions.set(key, reaction);
    if (texts.get(messageId)?.value === '' || texts.get(messageId)?.changing === true) return;
    await changing(reaction, async () => {
      const request = { channelId, messageId, emoji: '👍' };
      const added = reaction.value === '';
      const run = added ? client(as).addReaction(request) : client(as).removeReaction(request);
      // Deleted meanwhile.
      const refused = await run.then(
        () => false,
        () => true,
      );
      done.reactions += 1;
      return refused ? 'unknown' : added ? '👍' : '';
    });
  }

  async function fillLate(): Promise<void> {
    await sleep(random.below(16));
    if (random.below(8) === 0) await the.redis.forget();
    for (const fill of late.splice(0)) {
      fill();
      done.lateFills += 1;
    }
  }

  async function removeKeys(): Promise<void> {
    await sleep(random.below(60));
    const key = `channel:${channelId}:messages`;
    await redis.del(...random.pick([[key], [`{${key}}:head`], [key, `{${key}}:head`]]));
    done.removals += 1;
  }

  async function read(instance: number, pageSize: number): Promise<void> {
    const before = { ids: ids.slice(-pageSize), texts: snapshot(texts), reactions: snapshot(reactions) };
    const as = random.pick(people);
    const answer = await the
      .client(MessageService, as, 'grpc', instance)
      .listMessages({ channelId, pageSize });
    const { messages, headSeq } = answer;
    done.reads += 1;
    const [oldest] = messages;
    const shown = new Map(messages.map((message) => [message.id, message]));
    for (const id of before.ids)
      assert.ok(shown.has(id) || id < (oldest?.id ?? 0n), `message ${id} was acknowledged and is not there`);
    for (const { id, content, deleteTime, reactions: given } of messages) {
      requireSame(before.texts, texts, id, deleteTime === undefined ? content : '', `text of ${id}`);
      const users = given.find(({ emoji }) => emoji === '👍')?.userIds ?? [];
      if (deleteTime !== undefined || texts.get(id)?.changing === true) continue;
      for (const { userId } of people) {
        const seen = users.includes(userId) ? '👍' : '';
        requireSame(before.reactions, reactions, `${id} ${userId}`, seen, `reaction of ${userId} to ${id}`);
      }
    }
    const key = `${pageSize} at ${headSeq}`;
    // A token is signed for its reader: it is the same for the same reader only.
    const hasToken = answer.nextPageToken === '' ? '' : 'a token';
    requireEqual({ ...answer, nextPageToken: hasToken }, key, instance);
    requireEqual(answer, `${key} by ${as.userId}`, instance);
  }

  function requireEqual(answer: ListMessagesResponse, key: string, instance: number): void {
    const text = JSON.stringify(toJson(ListMessagesResponseSchema, answer));
    const other = answers.get(key);
    if (other !== undefined) {
      assert.equal(text, other, `${key}, instance ${instance}`);
      done.same += 1;
    }
    answers.set(key, text);
  }
});

const authors = new Map<bigint, As>();

async function changing(thing: Acknowledged, change: () => Promise<string>): Promise<void> {
  if (thing.changing) return;
  thing.changing = true;
  thing.changes += 1;
  thing.value = await change();
  thing.changing = false;
}

function snapshot<K>(things: ReadonlyMap<K, Acknowledged>): Map<K, Acknowledged> {
  return new Map([...things].map(([key, thing]) => [key, { ...thing }]));
}

/** What did not change during the read must be seen as it was acknowledged. */
function requireSame<K>(
  before: ReadonlyMap<K, Acknowledged>,
  now: ReadonlyMap<K, Acknowledged>,
  key: K,
  seen: string,
  what: string,
): void {
  const old = before.get(key);
  if (old === undefined || old.changing || old.value === 'unknown' || now.get(key)?.changes !== old.changes)
    return;
  assert.equal(seen, old.value, what);
}
