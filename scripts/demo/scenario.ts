import { setTimeout } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { fromJson, type JsonValue, toJson, toJsonString } from '@bufbuild/protobuf';
import { type Client, createClient } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventSchema } from '#gen/serp/discuss/v1/event_pb.ts';
import { type Message, MessageSchema, MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { SearchService } from '#gen/serp/discuss/v1/search_service_pb.ts';
import { MessageLog } from '../../client/src/message-log.ts';
import { DemoSubscriber, untilHeads } from './subscriber.ts';
import type { Connection, DemoUser, Edge } from './users.ts';

/** Whether all expectations of the scenario were met, and the subscribers that observed it. */
export type ScenarioResult = { readonly passed: boolean; readonly subscribers: readonly DemoSubscriber[] };

type Expectation = readonly [what: string, holds: boolean];

const SEARCH_MS = 2_000;
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
 * Users post, reply, edit, react, vote, search and delete. After each step the state that every subscriber derives from
 * events must equal the state that is read, and contain the effect of the step.
 */
export class Scenario {
  readonly #users: readonly DemoUser[];
  readonly #signal: AbortSignal;
  readonly #connections: readonly Connection[];
  readonly #subscribers: readonly DemoSubscriber[];
  readonly channelId: bigint;
  #passed = true;

  private constructor(
    users: readonly DemoUser[],
    connections: readonly Connection[],
    channelId: bigint,
    signal: AbortSignal,
    edgeOf: (index: number) => Edge,
  ) {
    this.#users = users;
    this.#connections = connections;
    this.channelId = channelId;
    this.#signal = signal;
    // The connection of every third subscriber is cut after the first message; the rest is replayed from the log.
    this.#subscribers = users.map(
      (user, index) => new DemoSubscriber(user, edgeOf(index), channelId, index % 3 === 2 ? [1] : []),
    );
  }

  static async run(
    users: readonly DemoUser[],
    edgeOf: (index: number) => Edge,
    signal: AbortSignal,
  ): Promise<ScenarioResult> {
    const connections = users.map((user, index) => user.connect(edgeOf(index)));
    const done = new AbortController();
    try {
      const channelId = await createChannel(users, connections);
      const scenario = new Scenario(users, connections, channelId, signal, edgeOf);
      await Promise.all(scenario.#subscribers.map((subscriber) => subscriber.start(done.signal)));
      await scenario.#run();
      return { passed: scenario.#passed, subscribers: scenario.#subscribers };
    } finally {
      done.abort();
      for (const connection of connections) connection.cut();
    }
  }

  async #run(): Promise<void> {
    const root = await this.#post(0, QUESTION);
    const replies: bigint[] = [];
    for (const [index, answer] of ANSWERS.entries()) replies.push(await this.#post(index + 1, answer, root));
    await this.#check('thread', root, (message) => [
      [`${message?.replyCount} replies by ${message?.participantCount} users`, message?.replyCount === 3],
    ]);

    const [first = 0n] = replies;
    const updateMask = { paths: ['content'] };
    await this.#messages(1).editMessage({ ...this.#target(first), content: CORRECTED, updateMask });
    const { versions } = await this.#messages(2).listEdits(this.#target(first));
    await this.#check('edit', first, (message) => [
      [`“${message?.content}”`, message?.content === CORRECTED],
      [`before: “${versions[0]?.content}”`, versions[0]?.content === ANSWERS[0]],
    ]);

    const emoji = '👍';
    await Promise.all(
      this.#users.map((_, index) => this.#messages(index).addReaction({ ...this.#target(first), emoji })),
    );
    await this.#check('reaction', first, (message) => {
      const users = message?.reactions[0]?.userIds ?? [];
      return [[`${emoji} of ${users.length} users who reacted at once`, users.length === this.#users.length]];
    });

    await this.#vote();
    await this.#search(root);

    const slip = await this.#post(4, SLIP);
    await this.#messages(4).deleteMessage(this.#target(slip));
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
    const named = this.#target(message?.id ?? 0n);
    const choose = (index: number, optionId: number) =>
      this.#messages(index).votePoll({ ...named, optionIds: [optionId] });
    await Promise.all(this.#users.map((_, index) => choose(index, 1 + (index % 3))));
    // Two users change their votes.
    await Promise.all([choose(0, 2), choose(3, 2)]);
    await this.#messages(0).closePoll(named);
    const { ownOptionIds } = await this.#messages(3).getPoll(named);
    const votes = OPTIONS.map(
      (_, option) => this.#users.filter((_, index) => chosen(index) === option).length,
    );
    await this.#check('poll', named.messageId, (message) => {
      const poll = message?.poll;
      const counts = poll?.options.map(({ voteCount }) => voteCount) ?? [];
      return [
        [
          OPTIONS.map((text, option) => `${text} ${counts[option]}`).join(', '),
          isDeepStrictEqual(counts, votes),
        ],
        ['closed', poll?.manualCloseTime !== undefined],
        ['own vote was changed', isDeepStrictEqual(ownOptionIds, [2])],
      ];
    });
  }

  async #search(root: bigint): Promise<void> {
    const words = await this.#find('giao hang');
    const code = await this.#find('PO-2024-001');
    const corrected = await this.#find(`"${CORRECTED}"`);
    this.#report('search', [
      ['“giao hang” finds “giao hàng”', words.includes(root)],
      ['PO-2024-001 is found', code.includes(root)],
      ['edited messages are found by their new text', corrected.length === 1],
    ]);
  }

  /** Waits until all subscribers have all events, and compares the state derived from them with reads. */
  async #check(step: string, messageId: bigint, expect: (message: Message | undefined) => Expectation[]) {
    const { messages, headSeq } = await this.#messages(5).listMessages({
      channelId: this.channelId,
      pageSize: 100,
    });
    await untilHeads(this.#subscribers, headSeq, this.#signal);
    const read = new Map(messages.map((message) => [message.id, message]));
    // The notices of the service were posted before the subscriptions.
    const posted = messages.filter(({ notice }) => notice === undefined);
    const same = this.#subscribers.filter((subscriber) => {
      const projection = new MessageLog();
      for (const event of subscriber.events) projection.apply(JSON.parse(toJsonString(EventSchema, event)));
      return (
        projection.messages.size === posted.length &&
        posted.every((message) => isSame(message, projection.messages.get(`${message.id}`)))
      );
    });
    const count = this.#subscribers.length;
    this.#report(step, [
      ...expect(read.get(messageId)),
      [`${same.length} of ${count} subscribers have the state that is read`, same.length === count],
    ]);
  }

  #report(step: string, expectations: readonly Expectation[]): void {
    const lines = expectations.map(([what, holds]) => (holds ? what : `FAILED: ${what}`));
    console.log(`  ${step.padEnd(9)} ${lines.join('; ')}`);
    this.#passed &&= expectations.every(([, holds]) => holds);
  }

  async #post(index: number, content: string, replyToMessageId = 0n): Promise<bigint> {
    const requestId = crypto.randomUUID();
    const { channelId } = this;
    const { message } = await this.#messages(index).sendMessage({
      channelId,
      content,
      replyToMessageId,
      requestId,
    });
    return message?.id ?? 0n;
  }

  // Searches find a message within 2 s.
  async #find(query: string): Promise<bigint[]> {
    const client = createClient(SearchService, at(this.#connections, 6).transport);
    const end = performance.now() + SEARCH_MS;
    while (true) {
      const { messages } = await client.searchMessages(
        { query, channelIds: [this.channelId] },
        { signal: this.#signal },
      );
      if (messages.length > 0 || performance.now() > end) return messages.map(({ messageId }) => messageId);
      await setTimeout(100);
    }
  }

  #messages(index: number): Client<typeof MessageService> {
    return createClient(MessageService, at(this.#connections, index).transport);
  }

  #target(messageId: bigint) {
    return { channelId: this.channelId, messageId };
  }
}

/** Index of the option that a user has chosen in the end. */
function chosen(index: number): number {
  return index === 0 || index === 3 ? 1 : index % 3;
}

async function createChannel(
  users: readonly DemoUser[],
  connections: readonly Connection[],
): Promise<bigint> {
  const { channel } = await createClient(ChannelService, at(connections, 0).transport).createChannel({
    name: 'Giao hàng PO-2024-001',
    memberUserIds: users.slice(1).map(({ userId }) => userId),
    requestId: crypto.randomUUID(),
  });
  return channel?.id ?? 0n;
}

function isSame(read: Message, made: JsonValue | undefined): boolean {
  if (made === undefined) return false;
  return isDeepStrictEqual(toJson(MessageSchema, fromJson(MessageSchema, made)), toJson(MessageSchema, read));
}

function at<T>(items: readonly T[], index: number): T {
  const item = items[index % items.length];
  if (item === undefined) throw new RangeError(`no item ${index}`);
  return item;
}
