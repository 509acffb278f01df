import { Code, type ConnectError } from '@connectrpc/connect';
import { ErrorInfoSchema, RetryInfoSchema } from '#gen/google/rpc/error_details_pb.ts';
import { codeName } from '../../src/rpc/errors.ts';

// Names for errors of fetch: the connection broke, or was rejected.
const LOST = 'CONNECTION_LOST';
const REFUSED = 'CONNECTION_REFUSED';
// Errors that the service may return during a fault.
const ALLOWED: ReadonlySet<string> = new Set([
  ...[Code.Unavailable, Code.DeadlineExceeded, Code.Aborted, Code.ResourceExhausted].map(codeName),
  LOST,
  REFUSED,
]);
const MAX_VIOLATIONS = 20;

/** Records responses and errors that clients received, and the violations of guarantees among them. */
export class Ledger {
  /** When each message was acknowledged (performance.now), by its id. */
  readonly acknowledged = new Map<bigint, number>();
  /** Errors that reached clients since the last `reset`, by code. */
  errors = new Map<string, number>();
  /** ViolationCounts found since the last `reset`. */
  violations: string[] = [];
  #lastAt = performance.now();
  #longestPauseMs = 0;

  reset(): void {
    this.errors = new Map();
    this.violations = [];
    this.#lastAt = performance.now();
    this.#longestPauseMs = 0;
  }

  /** The longest time since the last `reset` without an acknowledgement to any sender. */
  get longestPauseMs(): number {
    return Math.max(this.#longestPauseMs, performance.now() - this.#lastAt);
  }

  acknowledge(messageId: bigint): void {
    const at = performance.now();
    if (this.acknowledged.has(messageId)) this.addViolation(`two requests returned message ${messageId}`);
    this.acknowledged.set(messageId, at);
    this.#longestPauseMs = Math.max(this.#longestPauseMs, at - this.#lastAt);
    this.#lastAt = at;
  }

  /** Records an error that a client received. */
  recordError(error: ConnectError, what: string): void {
    const name = toName(error);
    this.errors.set(name, (this.errors.get(name) ?? 0) + 1);
    if (!ALLOWED.has(name)) this.addViolation(`${what}: ${name} ${error.rawMessage}`);
    const isDatabase = error
      .findDetails(ErrorInfoSchema)
      .some(({ reason }) => reason === 'DATABASE_UNAVAILABLE');
    if (isDatabase && error.findDetails(RetryInfoSchema).length === 0)
      this.addViolation(`${what}: ${name} has no retry delay`);
  }

  addViolation(violation: string): void {
    if (this.violations.length < MAX_VIOLATIONS) this.violations.push(violation);
  }
}

function toName(error: ConnectError): string {
  if (!(error.cause instanceof TypeError)) return codeName(error.code);
  return String(Reflect.get(Object(error.cause.cause), 'code')) === 'ECONNREFUSED' ? REFUSED : LOST;
}
