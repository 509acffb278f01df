import { randomUUID } from 'node:crypto';
import type { DescMethod, Message } from '@bufbuild/protobuf';
import type { Logger } from 'pino';
import type { Call, Caller, RequestStream, Sink } from './call.ts';
import type { Identity } from './claims.ts';
import { errors, type RpcError } from './errors.ts';
import type { Turn } from './turns.ts';

/** A call as a server receives it, independent of the protocol. */
export type IncomingCall = {
  readonly edge: Call['edge'];
  readonly method: DescMethod;
  /** Value of a request header, by its name in lower case. */
  readonly header: (name: string) => string | undefined;
  /** Decodes the request, once; throws an RpcError when that fails. */
  readonly request: () => Message;
  /** The client's timeout, when it sent one. */
  readonly timeoutMs: number | undefined;
  /** Undefined for unary calls. */
  readonly sink: Sink | undefined;
  /** The call that was admitted with the same headers, so that the caller of a unary call is not authenticated twice. */
  readonly admitted?: CallContext | undefined;
  /** Only for bidirectional streams. */
  readonly requests?: RequestStream | undefined;
};

// The client's timer started before ours by the time that the request was under way, which is at most about this.
const transitMs = 50;

const unauthenticated: Caller = { kind: 'user', tenantId: 0n, userId: 0n, name: '', roles: new Set() };

/** One call from start to end. Handlers see it as a `Call`. */
export class CallContext implements Call {
  readonly method: DescMethod;
  readonly incoming: IncomingCall;
  readonly requestId: string;
  readonly timeoutMs: number | undefined;
  readonly deadline: number | undefined;
  caller: Caller = unauthenticated;
  /** The verified token's, after the interceptor `authenticate`. */
  identity: Identity | undefined;
  turn: Turn | undefined;
  /** Of an admission: to be called when the request has been read, or will not be. */
  requestRead: () => void = () => {};
  /** Of the call's span; undefined without tracing. */
  traceId: string | undefined;
  readonly #parentLog: Logger;
  readonly #now: () => number;
  #log: Logger | undefined;
  #request: Message | undefined;
  #controller: AbortController | undefined;
  #ended: RpcError | undefined;
  #reject: ((reason: RpcError) => void) | undefined;
  #settled = false;
  #drain: (() => void) | undefined;

  constructor(incoming: IncomingCall, timeoutMs: number | undefined, now: () => number, log: Logger) {
    this.method = incoming.method;
    this.incoming = incoming;
    this.requestId = requestIdOf(incoming);
    this.timeoutMs = timeoutMs;
    this.deadline = timeoutMs === undefined ? undefined : now() + timeoutMs;
    this.#now = now;
    this.#parentLog = log;
  }

  get edge(): Call['edge'] {
    return this.incoming.edge;
  }

  get acceptLanguage(): string | undefined {
    return this.incoming.header('accept-language');
  }

  /** Whether `caller` was determined. */
  get isAuthenticated(): boolean {
    return this.caller !== unauthenticated;
  }

  get log(): Logger {
    this.#log ??= this.#parentLog.child({ requestId: this.requestId, method: methodPath(this.method) });
    return this.#log;
  }

  /** The request, after the interceptor `validate`. */
  get request(): Message {
    if (this.#request === undefined) throw new Error('the request is not decoded yet');
    return this.#request;
  }

  /** The request; undefined before the interceptor `validate`, and when the handler of a stream has taken it. */
  get decoded(): Message | undefined {
    return this.#request;
  }

  /** Returns the request, and keeps it no longer: a stream may be open for hours. */
  takeRequest(): Message {
    const { request } = this;
    this.#request = undefined;
    return request;
  }

  set request(request: Message) {
    this.#request = request;
  }

  /** Created on first use, because most calls end without it. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#ended !== undefined) this.#controller.abort(this.#ended);
    }
    return this.#controller.signal;
  }

  /** Why the call was ended before its handler returned. */
  get ended(): RpcError | undefined {
    return this.#ended;
  }

  /** Ends the call with `reason`, and aborts its signal. Only the first reason counts. */
  end(reason: RpcError): void {
    if (this.#ended !== undefined || this.#settled) return;
    this.#ended = reason;
    this.#controller?.abort(reason);
    this.#reject?.(reason);
  }

  onDrain(callback: () => void): void {
    this.#drain = callback;
  }

  /** Ends the call with SERVER_DRAINING, or lets its handler do so. May be called more than once. */
  drain(): void {
    if (this.#drain === undefined) this.end(errors.serverDraining());
    else this.#drain();
  }

  /** Ends the call because its client cancelled or disconnected, as many clients do when their deadline passes. */
  cancel(): void {
    if (this.#settled) return;
    const isLate = this.deadline !== undefined && this.deadline - this.#now() < transitMs;
    this.end(isLate ? errors.deadlineExceeded() : errors.cancelled());
  }

  /** Settles like the work, or rejects with the reason as soon as the call is ended. */
  async untilEnded<T>(work: (call: CallContext) => Promise<T>): Promise<T> {
    if (this.#ended !== undefined) throw this.#ended;
    try {
      return await new Promise<T>((resolve, reject) => {
        this.#reject = reject;
        work(this).then(resolve, reject);
      });
    } finally {
      this.#settled = true;
    }
  }
}

/** `serp.discuss.v1.MessageService/SendMessage` */
export function methodPath(method: DescMethod): string {
  return `${method.parent.typeName}/${method.name}`;
}

function requestIdOf({ header, admitted }: IncomingCall): string {
  if (admitted !== undefined) return admitted.requestId;
  const given = header('x-request-id');
  return given !== undefined && /^[\w.:-]{1,128}$/.test(given) ? given : randomUUID();
}
