import { isDeepStrictEqual } from 'node:util';
import { toJson } from '@bufbuild/protobuf';
import { type Client, createClient } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { type Message, MessageSchema, MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { SearchService } from '#gen/serp/discuss/v1/search_service_pb.ts';
import { EventProjection } from '../../test/kit/event-projection.ts';
import { Listener, untilHeads } from './listener.ts';
import type { Connection, Edge, Person } from './people.ts';

/** What a scene came to: whether all of it held, and who listened. */
export type Played = { readonly held: boolean; readonly listeners: readonly Listener[] };

type Expectation = readonly [what: string, holds: boolean];

const QUESTION = 'Đơn hàng PO-2024-001: giao hàng thứ Hai hay thứ Ba?';
const ANSWERS = [
  'Thứ Hai, kho đã sẵn sàng.',
  'Tuesday suits the customer better.',
  'Mardi alors, je préviens le transporteur.',
];
const CORRECTED = 'Thứ Ba cũng được, kho đã sẵn sàng.';
const SLIP = 'Mật khẩu kho là 1234.';
const OPTIONS = ['Thứ Hai', 'Thứ Ba', 'Thứ Tư'];

/**
 * People ask, answer, correct themselves, react, vote and search. After each step every subscriber, from the events
 * alone, and the reads must say the same, and what the step was for.
 */
export class Scene {
  readonly #people: readonly Person[];
  readonly #signal: AbortSignal;
  readonly #connections: readonly Connection[];
  readonly #listeners: readonly Listener[];
  readonly channelId: bigint;
  #held = true;

  private constructor(
    people: readonly Person[],
    connections: readonly Connection[],
    channelId: bigint,
    signal: AbortSignal,
    edgeOf: (index: number) => Edge,
  ) {
    this.#people = people;
    this.#connections = connections;
    this.channelId = channelId;
    this.#signal = signal;
    // Every third is cut off after the question, and has the rest from the log.
    this.#listeners = people.map(
      (person, index) => new Listener(person, edgeOf(index), channelId, index % 3 === 2 ? [1] : []),
    );
  }

  static async play(
    people: readonly Person[],
    edgeOf: (index: number) => Edge,
    signal: AbortSignal,
  ): Promise<Played> {
    const connections = people.map((person, index) => person.connect(edgeOf(index)));
    const done = new AbortController();
    try {
      const channelId = await createChannel(people, connections);
      const scene = new Scene(people, connections, channelId, signal, edgeOf);
      await Promise.all(scene.#listeners.map((listener) => listener.listen(done.signal)));
      await scene.#play();
      return { held: scene.#held, listeners: scene.#listeners };
    } finally {
      done.abort();
      for (const connection of connections) connection.cut();
    }
  }

  async #play(): Promise<void> {
    const root = await this.#post(0, QUESTION);
    const replies: bigint[] = [];
    for (const [index, answer] of ANSWERS.entries()) replies.push(await this.#post(index + 1, answer, root));
    await this.#check('thread', root, (message) => [
      [`${message?.replyCount} replies by ${message?.participantCount} people`, message?.replyCount === 3],
    ]);

    const [first = 0n] = replies;
    const updateMask = { paths: ['content'] };
    await this.#messages(1).editMessage({ ...this.#named(first), content: CORRECTED, updateMask });
    const { versions } = await this.#messages(2).listEdits(this.#named(first));
    await this.#check('edit', first, (message) => [
      [`“${message?.content}”`, message?.content === CORRECTED],
      [`before: “${versions[0]?.content}”`, versions[0]?.content === ANSWERS[0]],
    ]);

    const emoji = '👍';
    await Promise.all(
      this.#people.map((_, index) => this.#messages(index).addReaction({ ...this.#named(first), emoji })),
    );
    await this.#check('reaction', first, (message) => {
      const users = message?.reactions[0]?.userIds ?? [];
      return [
        [`${emoji} of ${users.length} people who reacted at once`, users.length === this.#people.length],
      ];
    });

    await this.#vote();
    await this.#search(root);

    const slip = await this.#post(4, SLIP);
    await this.#messages(4).deleteMessage(this.#named(slip));
    const found = await this.#find('mật khẩu kho');
    await this.#check('deletion', slip, (message) => [
      ['the text is gone', message?.content === '' && message.deleteTime !== undefined],
      ['from searches too', !found.includes(slip)],
    ]);
  }

  async #vote(): Promise<void> {
    const { message } = await this.#messages(0).sendMessage({
      channelId: this.channelId,
      type: MessageType.POLL,
      content: 'Ngày nào?',
      poll: { options: OPTIONS },
      requestId: crypto.randomUUID(),
    });
    const named = this.#named(message?.id ?? 0n);
    const choose = (index: number, optionId: number) =>
      this.#messages(index).votePoll({ ...named, optionIds: [optionId] });
    await Promise.all(this.#people.map((_, index) => choose(index, 1 + (index % 3))));
    // Changed their minds.
    await Promise.all([choose(0, 2), choose(3, 2)]);
    await this.#messages(0).closePoll(named);
    const { ownOptionIds } = await this.#messages(3).getPoll(named);
    const votes = OPTIONS.map(
      (_, option) => this.#people.filter((_, index) => chosen(index) === option).length,
    );
    await this.#check('poll', named.messageId, (message) => {
      const poll = message?.poll;
      const counts = poll?.options.map(({ voteCount }) => voteCount) ?? [];
      return [
        [
          OPTIONS.map((text, option) => `${text} ${counts[option]}`).join(', '),
          isDeepStrictEqual(counts, votes),
        ],
        ['closed', poll?.closedTime !== undefined],
        ['own vote as changed', isDeepStrictEqual(ownOptionIds, [2])],
      ];
    });
  }

  async #search(root: bigint): Promise<void> {
    const words = await this.#find('giao hang');
    const code = await this.#find('PO-2024-001');
    const corrected = await this.#find(`"${CORRECTED}"`);
    this.#say('search', [
      ['“giao hang” finds “giao hàng”', words.includes(root)],
      ['PO-2024-001 is found', code.includes(root)],
      ['edits are found as they are now', corrected.length === 1],
    ]);
  }

  /** Waits until everybody has all events, and compares what each makes of them with what is read. */
  async #check(step: string, messageId: bigint, expect: (message: Message | undefined) => Expectation[]) {
    const { messages, headSeq } = await this.#messages(5).listMessages({
      channelId: this.channelId,
      pageSize: 100,
    });
    await untilHeads(this.#listeners, headSeq, this.#signal);
    const read = new Map(messages.map((message) => [message.id, message]));
    // What the service itself reports was there before they listened.
    const posted = messages.filter(({ notice }) => notice === undefined);
    const same = this.#listeners.filter((listener) => {
      const replica = new EventProjection();
      for (const event of listener.events) replica.apply(event);
      return (
        replica.messages.size === posted.length &&
        posted.every((message) => isSame(message, replica.messages.get(message.id)))
      );
    });
    const count = this.#listeners.length;
    this.#say(step, [
      ...expect(read.get(messageId)),
      [`${same.length} of ${count} subscribers have what is read`, same.length === count],
    ]);
  }

  #say(step: string, expectations: readonly Expectation[]): void {
    const lines = expectations.map(([what, holds]) => (holds ? what : `NOT SO: ${what}`));
    console.log(`  ${step.padEnd(9)} ${lines.join('; ')}`);
    this.#held &&= expectations.every(([, holds]) => holds);
  }

  async #post(index: number, content: string, parentId = 0n): Promise<bigint> {
    const requestId = crypto.randomUUID();
    const { channelId } = this;
    const { message } = await this.#messages(index).sendMessage({ channelId, content, parentId, requestId });
    return message?.id ?? 0n;
  }

  async #find(query: string): Promise<bigint[]> {
    const client = createClient(SearchService, at(this.#connections, 6).transport);
    const { messages } = await client.searchMessages(
      { query, channelIds: [this.channelId] },
      { signal: this.#signal },
    );
    return messages.map(({ messageId }) => messageId);
  }

  #messages(index: number): Client<typeof MessageService> {
    return createClient(MessageService, at(this.#connections, index).transport);
  }

  #named(messageId: bigint) {
    return { channelId: this.channelId, messageId };
  }
}

/** Option that somebody has chosen in the end, from 0. */
function chosen(index: number): number {
  return index === 0 || index === 3 ? 1 : index % 3;
}

async function createChannel(people: readonly Person[], connections: readonly Connection[]): Promise<bigint> {
  const { channel } = await createClient(ChannelService, at(connections, 0).transport).createChannel({
    name: 'Giao hàng PO-2024-001',
    memberUserIds: people.slice(1).map(({ userId }) => userId),
    requestId: crypto.randomUUID(),
  });
  return channel?.id ?? 0n;
}

function isSame(read: Message, made: Message | undefined): boolean {
  return made !== undefined && isDeepStrictEqual(toJson(MessageSchema, made), toJson(MessageSchema, read));
}

function at<T>(items: readonly T[], index: number): T {
  const item = items[index % items.length];
  if (item === undefined) throw new RangeError(`nothing at ${index}`);
  return item;
}
