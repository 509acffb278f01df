import { Code, type ConnectError } from '@connectrpc/connect';
import { ErrorInfoSchema, RetryInfoSchema } from '#gen/google/rpc/error_details_pb.ts';
import { codeName } from '../../src/rpc/errors.ts';

// What fetch makes of a connection that breaks, or that nobody takes.
const LOST = 'CONNECTION_LOST';
const REFUSED = 'CONNECTION_REFUSED';
// What the service may answer while something is broken.
const ALLOWED: ReadonlySet<string> = new Set([
  ...[Code.Unavailable, Code.DeadlineExceeded, Code.Aborted, Code.ResourceExhausted].map(codeName),
  LOST,
  REFUSED,
]);
const MAX_BROKEN = 20;

/** What the clients were told, held against the promises. */
export class Ledger {
  /** When each message was acknowledged (performance.now), by its id. */
  readonly acknowledged = new Map<bigint, number>();
  /** Errors that reached clients since the last `reset`, by code. */
  errors = new Map<string, number>();
  /** Promises seen broken since the last `reset`. */
  broken: string[] = [];
  #lastAt = performance.now();
  #longestPauseMs = 0;

  reset(): void {
    this.errors = new Map();
    this.broken = [];
    this.#lastAt = performance.now();
    this.#longestPauseMs = 0;
  }

  /** The longest time since the last `reset` in which nobody's message was acknowledged. */
  get longestPauseMs(): number {
    return Math.max(this.#longestPauseMs, performance.now() - this.#lastAt);
  }

  acknowledge(messageId: bigint): void {
    const at = performance.now();
    if (this.acknowledged.has(messageId)) this.break(`two requests were answered with message ${messageId}`);
    this.acknowledged.set(messageId, at);
    this.#longestPauseMs = Math.max(this.#longestPauseMs, at - this.#lastAt);
    this.#lastAt = at;
  }

  /** Notes an error that a client was given. */
  note(error: ConnectError, what: string): void {
    const name = toName(error);
    this.errors.set(name, (this.errors.get(name) ?? 0) + 1);
    if (!ALLOWED.has(name)) this.break(`${what}: ${name} ${error.rawMessage}`);
    const isDatabase = error
      .findDetails(ErrorInfoSchema)
      .some(({ reason }) => reason === 'DATABASE_UNAVAILABLE');
    if (isDatabase && error.findDetails(RetryInfoSchema).length === 0)
      this.break(`${what}: ${name} does not say when to try again`);
  }

  break(promise: string): void {
    if (this.broken.length < MAX_BROKEN) this.broken.push(promise);
  }
}

function toName(error: ConnectError): string {
  if (!(error.cause instanceof TypeError)) return codeName(error.code);
  return String(Reflect.get(Object(error.cause.cause), 'code')) === 'ECONNREFUSED' ? REFUSED : LOST;
}
