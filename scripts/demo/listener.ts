import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@connectrpc/connect';
import type { Event } from '#gen/serp/discuss/v1/event_pb.ts';
import { EventService, type SubscribeResponse } from '#gen/serp/discuss/v1/event_service_pb.ts';
import type { Edge, Person } from './people.ts';
import { backoff } from './speaker.ts';

/** A message as it was delivered. */
export type Delivery = {
  readonly messageId: bigint;
  readonly requestId: string;
  readonly content: string;
  /** When it came, and since when the stream had been open then, ms. */
  readonly at: number;
  readonly openSince: number;
};

const AWAY_MS = 1_000;

/**
 * Subscribes to a channel and keeps its cursor. It is cut off after certain numbers of messages, stays away for
 * a moment, and goes on from its cursor.
 */
export class Listener {
  readonly person: Person;
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

  constructor(person: Person, edge: Edge, channelId: bigint, cutAfter: readonly number[]) {
    this.person = person;
    this.edge = edge;
    this.#channelId = channelId;
    this.#cutAfter = [...cutAfter];
  }

  /** seq of the last event it has. */
  get cursor(): bigint {
    return this.#cursor ?? 0n;
  }

  /** Listens until the signal; resolves once it does for the first time. */
  async listen(signal: AbortSignal): Promise<void> {
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
      const pauseMs = wasCut ? AWAY_MS * (0.2 + Math.random()) : backoff(failures);
      await sleep(pauseMs, undefined, { signal }).catch(() => {});
    }
  }

  /** One stream to its end, whoever ends it; whether we did. */
  async #read(signal: AbortSignal): Promise<boolean> {
    const connection = this.person.connect(this.edge);
    const cursors = this.#cursor === undefined ? [] : [{ channelId: this.#channelId, seq: this.#cursor }];
    try {
      const client = createClient(EventService, connection.transport);
      const stream = client.subscribe({ channelIds: [this.#channelId], cursors }, { signal });
      let openSince = Number.POSITIVE_INFINITY;
      for await (const response of stream) {
        if (response.payload.case === 'started') openSince = performance.now();
        this.#take(response, openSince);
        if (this.deliveries.length >= (this.#cutAfter[0] ?? Number.POSITIVE_INFINITY)) {
          this.#cutAfter.shift();
          return true;
        }
      }
    } catch {
      // The stream broke; it is opened again.
    } finally {
      connection.cut();
    }
    return false;
  }

  #take({ payload }: SubscribeResponse, openSince: number): void {
    if (payload.case === 'event') {
      this.#takeEvent(payload.value, openSince);
    } else if (payload.case === 'started') {
      this.#cursor ??= payload.value.channels[0]?.startSeq;
      this.#started.resolve();
    } else if (payload.case === 'reset') {
      this.resets += 1;
      this.#cursor = payload.value.headSeq;
    }
  }

  #takeEvent(event: Event, openSince: number): void {
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

/** Waits until each listener has the events of its channel up to `head`, for some seconds at most. */
export async function untilHeads(listeners: readonly Listener[], head: bigint, signal: AbortSignal) {
  const deadline = performance.now() + ALL_DELIVERED_MS;
  while (listeners.some(({ cursor }) => cursor < head) && performance.now() < deadline) {
    await sleep(10, undefined, { signal });
  }
}
