import { setTimeout as sleep } from 'node:timers/promises';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { Connection, Edge, Person } from './people.ts';

/** A message that was acknowledged. */
export type Sent = {
  readonly messageId: bigint;
  readonly content: string;
  /** When it was first sent, ms. */
  readonly at: number;
  readonly attempts: number;
  /** Whether the service answered that an earlier attempt had posted it. */
  readonly repeated: boolean;
};

const PAUSE_MS = 100;
const ATTEMPTS = 12;
const FIRST_BACKOFF_MS = 20;
const LONGEST_BACKOFF_MS = 2_000;
// Every so many messages the connection is cut while the answer is on its way.
const CUT_EVERY = 12;
const CUT_AFTER_MS = 4;
const DEADLINE_MS = 5_000;
const LASTING: ReadonlySet<Code> = new Set([
  Code.InvalidArgument,
  Code.NotFound,
  Code.AlreadyExists,
  Code.PermissionDenied,
  Code.FailedPrecondition,
  Code.Unauthenticated,
  Code.Unimplemented,
]);

/** Says its lines one after the other, and each again with the same request id until it is acknowledged. */
export class Speaker {
  readonly person: Person;
  readonly edge: Edge;
  readonly sent: Sent[] = [];
  readonly #channelId: bigint;
  #connection: Connection;

  constructor(person: Person, edge: Edge, channelId: bigint) {
    this.person = person;
    this.edge = edge;
    this.#channelId = channelId;
    this.#connection = person.connect(edge);
  }

  async say(lines: readonly string[], signal: AbortSignal): Promise<void> {
    for (const [index, content] of lines.entries()) {
      this.sent.push(await this.#send(content, index % CUT_EVERY === CUT_EVERY - 1, signal));
      await sleep(PAUSE_MS * (0.5 + Math.random()), undefined, { signal });
    }
    this.#connection.cut();
  }

  async #send(content: string, cutFirst: boolean, signal: AbortSignal): Promise<Sent> {
    const request = { channelId: this.#channelId, content, requestId: crypto.randomUUID() };
    const at = performance.now();
    for (let attempts = 1; ; attempts++) {
      try {
        const client = createClient(MessageService, this.#connection.transport);
        const answering = client.sendMessage(request, { timeoutMs: DEADLINE_MS, signal });
        if (cutFirst && attempts === 1) setTimeout(() => this.#connection.cut(), CUT_AFTER_MS);
        const { message, repeatedRequest } = await answering;
        return { messageId: message?.id ?? 0n, content, at, attempts, repeated: repeatedRequest };
      } catch (error) {
        signal.throwIfAborted();
        if (attempts === ATTEMPTS || LASTING.has(ConnectError.from(error).code)) throw error;
        await sleep(backoff(attempts), undefined, { signal });
        this.#connection.cut();
        this.#connection = this.person.connect(this.edge);
      }
    }
  }
}

/** Grows with each attempt, and is never the same for two callers. */
export function backoff(attempts: number): number {
  return Math.min(FIRST_BACKOFF_MS * 2 ** attempts, LONGEST_BACKOFF_MS) * (0.5 + Math.random() / 2);
}
