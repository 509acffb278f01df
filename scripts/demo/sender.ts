import { setTimeout as sleep } from 'node:timers/promises';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { Connection, DemoUser, Edge } from './users.ts';

/** A message that was acknowledged. */
export type Sent = {
  readonly messageId: bigint;
  readonly content: string;
  /** Time of the first attempt, ms. */
  readonly at: number;
  readonly attempts: number;
  /** Whether an earlier attempt had posted the message. */
  readonly repeated: boolean;
};

const PAUSE_MS = 100;
const ATTEMPTS = 12;
const FIRST_BACKOFF_MS = 20;
const MAX_BACKOFF_MS = 2_000;
// After this number of messages the connection is cut while the response is on its way.
const CUT_EVERY = 12;
const CUT_AFTER_MS = 4;
const DEADLINE_MS = 5_000;
const PERMANENT: ReadonlySet<Code> = new Set([
  Code.InvalidArgument,
  Code.NotFound,
  Code.AlreadyExists,
  Code.PermissionDenied,
  Code.FailedPrecondition,
  Code.Unauthenticated,
  Code.Unimplemented,
]);

/** Sends messages one after the other, and repeats each with the same request id until it is acknowledged. */
export class DemoSender {
  readonly user: DemoUser;
  readonly edge: Edge;
  readonly sent: Sent[] = [];
  readonly #channelId: bigint;
  #connection: Connection;

  constructor(user: DemoUser, edge: Edge, channelId: bigint) {
    this.user = user;
    this.edge = edge;
    this.#channelId = channelId;
    this.#connection = user.connect(edge);
  }

  async sendAll(lines: readonly string[], signal: AbortSignal): Promise<void> {
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
        const response = client.sendMessage(request, { timeoutMs: DEADLINE_MS, signal });
        if (cutFirst && attempts === 1) setTimeout(() => this.#connection.cut(), CUT_AFTER_MS);
        const { message, repeatedRequest } = await response;
        return { messageId: message?.id ?? 0n, content, at, attempts, repeated: repeatedRequest };
      } catch (error) {
        signal.throwIfAborted();
        if (attempts === ATTEMPTS || PERMANENT.has(ConnectError.from(error).code)) throw error;
        await sleep(backoff(attempts), undefined, { signal });
        this.#connection.cut();
        this.#connection = this.user.connect(this.edge);
      }
    }
  }
}

/** Increases with each attempt, with jitter. */
export function backoff(attempts: number): number {
  return Math.min(FIRST_BACKOFF_MS * 2 ** attempts, MAX_BACKOFF_MS) * (0.5 + Math.random() / 2);
}
