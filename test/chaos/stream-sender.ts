import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConnectError } from '@connectrpc/connect';
import { MessageService, type SendOutcome } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { createRandom } from '../kit/random.ts';
import { statusToError } from './grpc-transport.ts';
import { delayAfter, otherInstance, type TestUser } from './test-user.ts';

const EVERY_MS = 100;
const MAX_UNRESOLVED = 50;
const RETRY_TIMEOUT_MS = 90_000;

type Item = {
  readonly number: number;
  readonly request: { readonly channelId: bigint; readonly content: string; readonly requestId: string };
  sends: number;
};

/**
 * Posts messages through a SendMessages stream. When the stream breaks, sends all messages without an outcome again on a
 * stream of the other instance, and those with an error again on the same stream.
 */
export class StreamSender {
  readonly #user: TestUser;
  readonly #channelIds: readonly bigint[];
  readonly #random: ReturnType<typeof createRandom>;
  /** By request id, in the order in which they were sent first. */
  readonly #unresolved = new Map<string, Item>();
  /** Ids of messages that were sent once, by channel and number. */
  readonly #posted = new Map<bigint, Map<number, bigint>>();
  #failed: Item[] = [];
  #current: number;
  #count = 0;
  #postedAt = 0;

  constructor(user: TestUser, channelIds: readonly bigint[], random: ReturnType<typeof createRandom>) {
    this.#user = user;
    this.#channelIds = channelIds;
    this.#random = random;
    this.#current = user.home;
  }

  returnHome(): void {
    this.#current = this.#user.home;
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#postedAt = performance.now();
    for (let attempt = 1; !signal.aborted || this.#unresolved.size > 0; attempt += 1) {
      const error = await this.#stream(signal);
      if (error === undefined) continue;
      const { ledger } = this.#user;
      ledger.recordError(error, 'SendMessages');
      if (performance.now() > this.#postedAt + RETRY_TIMEOUT_MS) throw error;
      this.#current = otherInstance(this.#current);
      await sleep(delayAfter(error, attempt));
    }
    this.#checkOrder();
  }

  /** Returns the error with which the stream ended. */
  async #stream(signal: AbortSignal): Promise<ConnectError | undefined> {
    const ended = new AbortController();
    const requests = this.#requests(AbortSignal.any([signal, ended.signal]));
    try {
      const client = this.#user.client(MessageService, this.#current);
      for await (const { outcome } of client.sendMessages(requests))
        if (outcome !== undefined) this.#take(outcome);
      return undefined;
    } catch (error) {
      return ConnectError.from(error);
    } finally {
      ended.abort();
    }
  }

  /** First the messages that have no outcome, then new ones and those that failed. */
  async *#requests(ended: AbortSignal) {
    this.#failed = [];
    for (const item of [...this.#unresolved.values()]) yield this.#send(item);
    while (!ended.aborted) {
      const failed = this.#failed.splice(0);
      for (const item of failed) yield this.#send(item);
      if (this.#unresolved.size < MAX_UNRESOLVED) yield this.#send(this.#create());
      await sleep(EVERY_MS);
    }
  }

  #create(): Item {
    this.#count += 1;
    const request = {
      channelId: this.#random.pick(this.#channelIds),
      content: `dòng ${this.#count} của ${this.#user.userId}`,
      requestId: randomUUID(),
    };
    const item = { number: this.#count, request, sends: 0 };
    this.#unresolved.set(request.requestId, item);
    return item;
  }

  #send(item: Item) {
    item.sends += 1;
    return { request: item.request };
  }

  #take({ requestId, outcome }: SendOutcome): void {
    const { ledger } = this.#user;
    const item = this.#unresolved.get(requestId);
    if (item === undefined) {
      ledger.addViolation(`an outcome for the unknown request ${requestId}`);
      return;
    }
    if (outcome.case !== 'response') {
      if (outcome.case === 'error')
        ledger.recordError(statusToError(outcome.value), 'an item of SendMessages');
      this.#failed.push(item);
      return;
    }
    const messageId = outcome.value.message?.id ?? 0n;
    ledger.acknowledge(messageId);
    this.#unresolved.delete(requestId);
    this.#postedAt = performance.now();
    if (item.sends > 1) return;
    const { channelId } = item.request;
    const posted = this.#posted.get(channelId) ?? new Map<number, bigint>();
    this.#posted.set(channelId, posted.set(item.number, messageId));
  }

  /** Messages that were sent once have ids in the order in which they were sent. */
  #checkOrder(): void {
    for (const [channelId, posted] of this.#posted) {
      const ids = [...posted].toSorted(([a], [b]) => a - b).map(([, id]) => id);
      const isOrdered = ids.every((id, index) => index === 0 || id > (ids[index - 1] ?? 0n));
      if (!isOrdered) this.#user.ledger.addViolation(`SendMessages lost the order of channel ${channelId}`);
    }
    this.#posted.clear();
  }
}
