import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { createRandom } from '../kit/random.ts';
import type { Person } from './person.ts';

type Random = ReturnType<typeof createRandom>;

/** A message that was posted, for others to do something with. */
type Posted = { readonly channelId: bigint; readonly messageId: bigint };

const REMEMBERED = 200;
const BEACON_MS = 300;
const EMOJI = ['👍', '🎉', '❤️', '👀'];

/** Where senders leave messages that everybody may react to; nobody deletes those. */
export class Board {
  readonly #posted: Posted[] = [];

  add(posted: Posted): void {
    this.#posted.push(posted);
    if (this.#posted.length > REMEMBERED) this.#posted.shift();
  }

  pick(random: Random): Posted | undefined {
    return this.#posted.length === 0 ? undefined : random.pick(this.#posted);
  }
}

/**
 * Posts at an instance and no other, to a channel that nobody else posts to: to the streams of the other instance its
 * messages come through Redis or, without any other event to tell of them, by the log.
 */
export class InstanceWriter {
  readonly #sender: Sender;
  readonly #channelId: bigint;
  readonly #instance: number;

  constructor(sender: Sender, channelId: bigint, instance: number) {
    this.#sender = sender;
    this.#channelId = channelId;
    this.#instance = instance;
  }

  async run(signal: AbortSignal): Promise<void> {
    for (let count = 1; !signal.aborted; count += 1) {
      await this.#sender.post(this.#channelId, `đèn ${count}`, this.#instance);
      await sleep(BEACON_MS);
    }
  }
}

/**
 * Posts at a steady rate, now and then edits or deletes what it posted, reacts to what others did, and reads. Whatever
 * it has begun it repeats until it is done.
 */
export class Sender {
  readonly person: Person;
  readonly #channelIds: readonly bigint[];
  readonly #board: Board;
  readonly #random: Random;
  readonly #everyMs: number;
  readonly #own: Posted[] = [];
  #count = 0;

  constructor(parts: {
    person: Person;
    channelIds: readonly bigint[];
    board: Board;
    random: Random;
    everyMs: number;
  }) {
    this.person = parts.person;
    this.#channelIds = parts.channelIds;
    this.#board = parts.board;
    this.#random = parts.random;
    this.#everyMs = parts.everyMs;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#act();
      await sleep(this.#everyMs * (0.5 + this.#random.below(100) / 100));
    }
  }

  /** Posts a message; with a number, at that instance and no other. */
  async post(channelId: bigint, content: string, only?: number): Promise<Posted> {
    const requestId = randomUUID();
    const { message } = await this.person.insist(
      MessageService,
      (client, options) => client.sendMessage({ channelId, content, requestId }, options),
      only,
    );
    const messageId = message?.id ?? 0n;
    this.person.ledger.acknowledge(messageId);
    return { channelId, messageId };
  }

  async #act(): Promise<void> {
    const chance = this.#random.below(100);
    if (chance < 5) return this.#edit();
    if (chance < 9) return this.#delete();
    if (chance < 15) return this.#react();
    if (chance < 20) return this.#read();
    this.#count += 1;
    const content = `tin ${this.#count} của ${this.person.userId}`;
    const posted = await this.post(this.#random.pick(this.#channelIds), content);
    if (this.#count % 3 === 0) this.#own.push(posted);
    else this.#board.add(posted);
  }

  async #edit(): Promise<void> {
    const posted = this.#own.at(-1);
    if (posted === undefined) return;
    const change = { ...posted, content: `sửa ${this.#count}`, updateMask: { paths: ['content'] } };
    await this.person.insist(MessageService, (client, options) => client.editMessage(change, options));
  }

  async #delete(): Promise<void> {
    const posted = this.#own.shift();
    if (posted === undefined) return;
    await this.person.insist(MessageService, (client, options) => client.deleteMessage(posted, options));
  }

  async #react(): Promise<void> {
    const posted = this.#board.pick(this.#random);
    if (posted === undefined) return;
    const reaction = { ...posted, emoji: this.#random.pick(EMOJI) };
    const adds = this.#random.below(3) > 0;
    await this.person.insist(MessageService, async (client, options) => {
      if (adds) await client.addReaction(reaction, options);
      else await client.removeReaction(reaction, options);
    });
  }

  async #read(): Promise<void> {
    const posted = this.#board.pick(this.#random);
    if (posted === undefined) return;
    await this.person.insist(MemberService, (client, options) => client.markRead(posted, options));
    await this.person.insist(MessageService, (client, options) =>
      client.listMessages({ channelId: posted.channelId, pageSize: 20 }, options),
    );
  }
}
