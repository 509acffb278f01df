import { randomUUID } from 'node:crypto';
import type { DescMethod, Message } from '@bufbuild/protobuf';
import type { Logger } from 'pino';
import type { Call, Caller, Sink } from './call.ts';
import { errors, type RpcError } from './errors.ts';

/** A call as a server hands it over, whatever the protocol. */
export type IncomingCall = {
  readonly edge: 'grpc' | 'web';
  readonly method: DescMethod;
  /** Value of a request header, by its name in lower case. */
  readonly header: (name: string) => string | undefined;
  /** Decodes the request; throws a refusal when it cannot. */
  readonly request: () => Message;
  /** How long the client waits, if it said so. */
  readonly timeoutMs: number | undefined;
  /** Where a stream's frames go; undefined for unary calls. */
  readonly sink: Sink | undefined;
};

// A client's own timer runs out this much before ours at most: the time its request took to get here.
const travelMs = 50;

const nobody: Caller = { kind: 'user', tenantId: 0n, userId: 0n, name: '', roles: new Set() };

/** One call from its arrival to its end. Handlers see it as a `Call`. */
export class CallContext implements Call {
  readonly method: DescMethod;
  readonly arrival: IncomingCall;
  readonly requestId: string;
  readonly timeoutMs: number | undefined;
  readonly deadline: number | undefined;
  caller: Caller = nobody;
  readonly #parentLog: Logger;
  readonly #now: () => number;
  #log: Logger | undefined;
  #request: Message | undefined;
  #controller: AbortController | undefined;
  #ended: RpcError | undefined;
  #reject: ((reason: RpcError) => void) | undefined;
  #over = false;

  constructor(arrival: IncomingCall, timeoutMs: number | undefined, now: () => number, log: Logger) {
    this.method = arrival.method;
    this.arrival = arrival;
    this.requestId = requestIdOf(arrival);
    this.timeoutMs = timeoutMs;
    this.deadline = timeoutMs === undefined ? undefined : now() + timeoutMs;
    this.#now = now;
    this.#parentLog = log;
  }

  get log(): Logger {
    this.#log ??= this.#parentLog.child({ requestId: this.requestId, method: methodPath(this.method) });
    return this.#log;
  }

  /** The request, once it is decoded and found valid. */
  get request(): Message {
    if (this.#request === undefined) throw new Error('the request is not decoded yet');
    return this.#request;
  }

  set request(request: Message) {
    this.#request = request;
  }

  /** Made when first asked for: most calls are over before anybody looks. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#ended !== undefined) this.#controller.abort(this.#ended);
    }
    return this.#controller.signal;
  }

  /** Why the call was ended before its handler was done. */
  get ended(): RpcError | undefined {
    return this.#ended;
  }

  /** Ends the call now: its answer is `reason`, and its signal aborts. The first reason stands. */
  end(reason: RpcError): void {
    if (this.#ended !== undefined || this.#over) return;
    this.#ended = reason;
    this.#controller?.abort(reason);
    this.#reject?.(reason);
  }

  /** Ends the call because its client has gone, which many do the moment their deadline passes. */
  leave(): void {
    if (this.#over) return;
    const late = this.deadline !== undefined && this.deadline - this.#now() < travelMs;
    this.end(late ? errors.deadlinePassed() : errors.cancelled());
  }

  /** Settles like the work, or at once with the reason when the call is ended first. */
  async untilEnded<T>(work: (call: CallContext) => Promise<T>): Promise<T> {
    if (this.#ended !== undefined) throw this.#ended;
    try {
      return await new Promise<T>((resolve, reject) => {
        this.#reject = reject;
        work(this).then(resolve, reject);
      });
    } finally {
      this.#over = true;
    }
  }
}

/** `serp.discuss.v1.MessageService/SendMessage` */
export function methodPath(method: DescMethod): string {
  return `${method.parent.typeName}/${method.name}`;
}

function requestIdOf(arrival: IncomingCall): string {
  const given = arrival.header('x-request-id');
  return given !== undefined && /^[\w.:-]{1,128}$/.test(given) ? given : randomUUID();
}
