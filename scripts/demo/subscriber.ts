import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@connectrpc/connect';
import type { Event } from '#gen/serp/discuss/v1/event_pb.ts';
import { EventService, type SubscribeResponse } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { backoff } from './sender.ts';
import type { DemoUser, Edge } from './users.ts';

/** A message that was delivered. */
export type Delivery = {
  readonly messageId: bigint;
  readonly requestId: string;
  readonly content: string;
  /** Time of the delivery, and time at which the stream opened, ms. */
  readonly at: number;
  readonly openSince: number;
};

const DISCONNECTED_MS = 1_000;

/**
 * Subscribes to a channel and keeps its cursor. Its connection is cut after given numbers of messages; after a pause it
 * resumes from its cursor.
 */
export class DemoSubscriber {
  readonly user: DemoUser;
  readonly edge: Edge;
  readonly deliveries: Delivery[] = [];
  readonly events: Event[] = [];
  gaps = 0;
  duplicates = 0;
  resets = 0;
  reconnects = 0;
  readonly #channelId: bigint;
  readonly #cutAfter: number[];
  readonly #started = Promise.withResolvers<void>();
  #cursor: bigint | undefined;

  constructor(user: DemoUser, edge: Edge, channelId: bigint, cutAfter: readonly number[]) {
    this.user = user;
    this.edge = edge;
    this.#channelId = channelId;
    this.#cutAfter = [...cutAfter];
  }

  /** `seq` of the last event that was received. */
  get cursor(): bigint {
    return this.#cursor ?? 0n;
  }

  /** Subscribes until the signal; resolves when the first stream has started. */
  async start(signal: AbortSignal): Promise<void> {
    void this.#run(signal);
    await this.#started.promise;
  }

  async #run(signal: AbortSignal): Promise<void> {
    for (let failures = 1; !signal.aborted; failures++) {
      const before = this.deliveries.length;
      const wasCut = await this.#read(signal);
      if (signal.aborted) return;
      this.reconnects += 1;
      if (this.deliveries.length > before) failures = 1;
      const pauseMs = wasCut ? DISCONNECTED_MS * (0.2 + Math.random()) : backoff(failures);
      await sleep(pauseMs, undefined, { signal }).catch(() => {});
    }
  }

  /** Reads one stream to its end; returns whether this client cut the connection. */
  async #read(signal: AbortSignal): Promise<boolean> {
    const connection = this.user.connect(this.edge);
    const cursors = this.#cursor === undefined ? [] : [{ channelId: this.#channelId, seq: this.#cursor }];
    try {
      const client = createClient(EventService, connection.transport);
      const stream = client.subscribe({ channelIds: [this.#channelId], cursors }, { signal });
      let openSince = Number.POSITIVE_INFINITY;
      for await (const response of stream) {
        if (response.payload.case === 'started') openSince = performance.now();
        this.#handle(response, openSince);
        if (this.deliveries.length >= (this.#cutAfter[0] ?? Number.POSITIVE_INFINITY)) {
          this.#cutAfter.shift();
          return true;
        }
      }
    } catch {
      // The stream broke; it is resumed.
    } finally {
      connection.cut();
    }
    return false;
  }

  #handle({ payload }: SubscribeResponse, openSince: number): void {
    if (payload.case === 'event') {
      this.#handleEvent(payload.value, openSince);
    } else if (payload.case === 'started') {
      this.#cursor ??= payload.value.channels[0]?.startSeq;
      if (!payload.value.more) this.#started.resolve();
    } else if (payload.case === 'reset') {
      this.resets += 1;
      this.#cursor = payload.value.headSeq;
    }
  }

  #handleEvent(event: Event, openSince: number): void {
    const { seq, change } = event;
    this.events.push(event);
    const expected = (this.#cursor ?? 0n) + 1n;
    if (seq < expected) this.duplicates += 1;
    if (seq > expected) this.gaps += 1;
    if (seq >= expected) this.#cursor = seq;
    if (change.case !== 'messageCreated') return;
    const { message, requestId } = change.value;
    this.deliveries.push({
      messageId: message?.id ?? 0n,
      requestId,
      content: message?.content ?? '',
      at: performance.now(),
      openSince,
    });
  }
}

const ALL_DELIVERED_MS = 10_000;

/** Waits, for a limited time, until each subscriber has received the events up to `head`. */
export async function untilHeads(subscribers: readonly DemoSubscriber[], head: bigint, signal: AbortSignal) {
  const deadline = performance.now() + ALL_DELIVERED_MS;
  while (subscribers.some(({ cursor }) => cursor < head) && performance.now() < deadline) {
    await sleep(10, undefined, { signal });
  }
}
