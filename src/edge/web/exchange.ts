import { ServerResponse } from 'node:http';
import type { Writable } from 'node:stream';
import type { CallContext } from '../../rpc/call-context.ts';
import type { HttpRequest, HttpResponse } from './dual-protocol-server.ts';

/** A request on the web edge and its response, until that is closed. */
export class Exchange {
  readonly request: HttpRequest;
  readonly response: HttpResponse;
  #timer: NodeJS.Timeout | undefined;
  #call: CallContext | undefined;

  /** The body has `bodyMs` to arrive, or the connection is cut. */
  constructor(request: HttpRequest, response: HttpResponse, bodyMs: number) {
    this.request = request;
    this.response = response;
    this.#timer = setTimeout(() => response.destroy(), bodyMs);
    response.once('close', () => {
      this.#stopTimer();
      this.#call?.leave();
    });
  }

  /** The request is here: from now on the call's deadline counts, and the call ends when the client goes. */
  begin(call: CallContext): void {
    this.#stopTimer();
    this.#call = call;
    if (this.response.destroyed) call.leave();
  }

  header = (name: string): string | undefined => {
    const value = this.request.headers[name];
    return typeof value === 'string' ? value : value?.[0];
  };

  /** What a response is written to: below one of HTTP/2 lies its stream, which costs less. */
  get output(): Writable {
    return this.response instanceof ServerResponse ? this.response : this.response.stream;
  }

  /** Starts a streamed answer. */
  sendHeaders(contentType: string, requestId: string): void {
    const { response } = this;
    response.setHeader('content-type', contentType);
    response.setHeader('x-request-id', requestId);
    if (response instanceof ServerResponse) response.flushHeaders();
    else response.writeHead(200);
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
