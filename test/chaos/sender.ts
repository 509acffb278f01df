import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Status } from '#gen/google/rpc/status_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { createRandom } from '../kit/random.ts';
import { statusToError } from './grpc-transport.ts';
import type { TestUser } from './test-user.ts';

type Random = ReturnType<typeof createRandom>;

/** A message that was posted. */
type Posted = { readonly channelId: bigint; readonly messageId: bigint };

const MAX_SHARED = 200;
const WRITE_INTERVAL_MS = 300;
const BATCH = 3;
const EMOJI = ['👍', '🎉', '❤️', '👀'];

/** Messages that any sender may react to and mark as read. They are never deleted. */
export class SharedMessages {
  readonly #posted: Posted[] = [];

  add(posted: Posted): void {
    this.#posted.push(posted);
    if (this.#posted.length > MAX_SHARED) this.#posted.shift();
  }

  pick(random: Random): Posted | undefined {
    return this.#posted.length === 0 ? undefined : random.pick(this.#posted);
  }
}

/**
 * Posts only through one instance, in a channel without other senders. The streams of the other instance receive its
 * messages through Redis or by polling the log, and no later event of the channel reveals a missing one.
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
      await sleep(WRITE_INTERVAL_MS);
    }
  }
}

/**
 * Posts at a steady rate, sometimes in batches, edits or deletes its messages, reacts to messages of others, and reads. Repeats each
 * call until it succeeds.
 */
export class Sender {
  readonly user: TestUser;
  readonly #channelIds: readonly bigint[];
  readonly #shared: SharedMessages;
  readonly #random: Random;
  readonly #everyMs: number;
  readonly #own: Posted[] = [];
  #count = 0;

  constructor(parts: {
    user: TestUser;
    channelIds: readonly bigint[];
    shared: SharedMessages;
    random: Random;
    everyMs: number;
  }) {
    this.user = parts.user;
    this.#channelIds = parts.channelIds;
    this.#shared = parts.shared;
    this.#random = parts.random;
    this.#everyMs = parts.everyMs;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#act();
      await sleep(this.#everyMs * (0.5 + this.#random.below(100) / 100));
    }
  }

  /** Posts a message; with `only`, through that instance. */
  async post(channelId: bigint, content: string, only?: number): Promise<Posted> {
    const requestId = randomUUID();
    const { message } = await this.user.retry(
      MessageService,
      (client, options) => client.sendMessage({ channelId, content, requestId }, options),
      only,
    );
    const messageId = message?.id ?? 0n;
    this.user.ledger.acknowledge(messageId);
    return { channelId, messageId };
  }

  async #act(): Promise<void> {
    const chance = this.#random.below(100);
    if (chance < 5) return this.#edit();
    if (chance < 9) return this.#delete();
    if (chance < 15) return this.#react();
    if (chance < 20) return this.#read();
    if (chance < 25) return this.#postBatch();
    this.#count += 1;
    const content = `tin ${this.#count} của ${this.user.userId}`;
    const posted = await this.post(this.#random.pick(this.#channelIds), content);
    if (this.#count % 3 === 0) this.#own.push(posted);
    else this.#shared.add(posted);
  }

  /** Posts in a batch, and repeats the items that failed. */
  async #postBatch(): Promise<void> {
    let requests = Array.from({ length: BATCH }, (_, index) => ({
      channelId: this.#random.pick(this.#channelIds),
      content: `lô ${this.#count}.${index} của ${this.user.userId}`,
      requestId: randomUUID(),
    }));
    await this.user.retry(MessageService, async (client, options) => {
      const { outcomes } = await client.batchSendMessages({ requests }, options);
      const failed = new Map<string, Status>();
      for (const { requestId, outcome } of outcomes) {
        if (outcome.case === 'response') this.user.ledger.acknowledge(outcome.value.message?.id ?? 0n);
        if (outcome.case === 'error') failed.set(requestId, outcome.value);
      }
      requests = requests.filter(({ requestId }) => failed.has(requestId));
      for (const error of failed.values()) throw statusToError(error);
    });
  }

  async #edit(): Promise<void> {
    const posted = this.#own.at(-1);
    if (posted === undefined) return;
    const change = { ...posted, content: `sửa ${this.#count}`, updateMask: { paths: ['content'] } };
    await this.user.retry(MessageService, (client, options) => client.editMessage(change, options));
  }

  async #delete(): Promise<void> {
    const posted = this.#own.shift();
    if (posted === undefined) return;
    await this.user.retry(MessageService, (client, options) => client.deleteMessage(posted, options));
  }

  async #react(): Promise<void> {
    const posted = this.#shared.pick(this.#random);
    if (posted === undefined) return;
    const reaction = { ...posted, emoji: this.#random.pick(EMOJI) };
    const isAdded = this.#random.below(3) > 0;
    await this.user.retry(MessageService, async (client, options) => {
      if (isAdded) await client.addReaction(reaction, options);
      else await client.removeReaction(reaction, options);
    });
  }

  async #read(): Promise<void> {
    const posted = this.#shared.pick(this.#random);
    if (posted === undefined) return;
    await this.user.retry(MemberService, (client, options) => client.markRead(posted, options));
    await this.user.retry(MessageService, (client, options) =>
      client.listMessages({ channelId: posted.channelId, pageSize: 20 }, options),
    );
  }
}
