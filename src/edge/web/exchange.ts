import { IncomingMessage, ServerResponse } from 'node:http';
import { constants } from 'node:http2';
import type { Writable } from 'node:stream';
import type { Caller } from '../../rpc/call.ts';
import type { CallContext } from '../../rpc/call-context.ts';
import type { CancelledCalls } from '../../rpc/cancelled-calls.ts';
import type { PendingResponses } from '../../rpc/pending-responses.ts';
import { firstOf } from '../headers.ts';
import type { Connection } from './connection.ts';
import type { HttpRequest, HttpResponse } from './dual-protocol-server.ts';

// Time for a client to read a response that was sent before the end of its request's body.
const lingerMs = 1_000;

const unidentified = Promise.resolve(undefined);

type Parts = {
  readonly connection: Connection;
  readonly cancelledCalls: CancelledCalls;
  /** Time for the body to arrive, after which the connection is destroyed. */
  readonly bodyMs: number;
  readonly pending: PendingResponses;
};

/** A request on the web edge and its response, until the response is closed. */
export class Exchange {
  readonly request: HttpRequest;
  readonly response: HttpResponse;
  readonly connection: Connection;
  readonly #cancelledCalls: CancelledCalls;
  readonly #pending: PendingResponses;
  #timer: NodeJS.Timeout | undefined;
  #caller: Promise<Caller | undefined> = unidentified;
  #call: CallContext | undefined;
  #admitted: CallContext | undefined;
  #isClosed = false;
  #read: (() => void) | undefined;

  constructor(request: HttpRequest, response: HttpResponse, parts: Parts) {
    this.request = request;
    this.response = response;
    this.connection = parts.connection;
    this.#cancelledCalls = parts.cancelledCalls;
    this.#pending = parts.pending;
    this.#timer = setTimeout(() => response.destroy(), parts.bodyMs);
    response.once('close', () => this.#end());
  }

  /** Sets the caller, who is undefined when not authenticated. */
  identify(caller: Promise<Caller | undefined>): void {
    this.#caller = caller;
  }

  /** Sets the call whose request is read next. */
  admit(call: CallContext): void {
    this.#admitted = call;
    if (this.#isClosed) call.requestRead();
  }

  /** To be called when the request is read: from now on the call's deadline applies, and a disconnect cancels the call. */
  begin(call: CallContext): void {
    this.#stopTimer();
    this.#admitted?.requestRead();
    this.#call = call;
  }

  /** Whether the response is closed. One of HTTP/2 has no `destroyed`. */
  get closed(): boolean {
    return this.#isClosed;
  }

  header = (name: string): string | undefined => firstOf(this.request.headers[name]);

  /** The stream to write the response to; writing to an HTTP/2 stream itself costs less than to its response. */
  get output(): Writable {
    return this.response instanceof ServerResponse ? this.response : this.response.stream;
  }

  /** Starts a response, whose headers may leave with the first bytes that are written to `output`. */
  startResponse(contentType: string, requestId: string): void {
    const { response } = this;
    response.setHeader('content-type', contentType);
    response.setHeader('x-request-id', requestId);
    if (!(response instanceof ServerResponse)) response.writeHead(200);
  }

  /** Starts a response, and sends its headers. */
  sendHeaders(contentType: string, requestId: string): void {
    this.startResponse(contentType, requestId);
    if (this.response instanceof ServerResponse) this.response.flushHeaders();
  }

  /**
   * To be called when the response is complete. The bytes that its client has not read yet count until the response is
   * closed, and it is cut off when that takes too long.
   */
  completed(): void {
    this.#stopTimer();
    const bytes = this.output.writableLength;
    if (!this.#isClosed) this.#read ??= this.#pending.add(this.#call?.caller, bytes, () => this.#cutOff());
  }

  #cutOff(): void {
    const { response } = this;
    if (!(response instanceof ServerResponse)) response.stream.close(constants.NGHTTP2_CANCEL);
    response.destroy();
  }

  #end(): void {
    const { request } = this;
    this.#isClosed = true;
    this.#admitted?.requestRead();
    this.#stopTimer();
    this.#read?.();
    this.#call?.cancel();
    if (isReset(this.response)) void this.#countReset();
    if (request instanceof IncomingMessage && !request.complete) closeAfterLinger(request);
  }

  // Resets are counted by caller, because the calls of others may be on the same connection.
  async #countReset(): Promise<void> {
    const isCounted = this.#call?.ended !== undefined;
    const caller = await this.#caller;
    this.connection.countReset(caller !== undefined);
    // A call that was cancelled by this is counted by itself, but not one that had ended before its response.
    if (caller !== undefined && !isCounted) this.#cancelledCalls.count(caller);
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/** Whether the response ended before the server had completed it, or with an error of HTTP/2. */
function isReset(response: HttpResponse): boolean {
  if (response instanceof ServerResponse) return !response.writableFinished;
  return response.stream.aborted || response.stream.rstCode !== constants.NGHTTP2_NO_ERROR;
}

// Node discards the remaining body so that the connection can be reused. A body that does not end soon costs more than
// a new connection. Closing at once would reset the connection before the client has read the response.
function closeAfterLinger(request: IncomingMessage): void {
  setTimeout(() => {
    if (!request.complete) request.socket.destroy();
  }, lingerMs).unref();
}
