import { IncomingMessage, ServerResponse } from 'node:http';
import type { Writable } from 'node:stream';
import type { CallContext } from '../../rpc/call-context.ts';
import type { HttpRequest, HttpResponse } from './dual-protocol-server.ts';

// Time for a client to read a response that was sent before the end of its request's body.
const lingerMs = 1_000;

/** A request on the web edge and its response, until the response is closed. */
export class Exchange {
  readonly request: HttpRequest;
  readonly response: HttpResponse;
  #timer: NodeJS.Timeout | undefined;
  #call: CallContext | undefined;

  /** Destroys the connection when the body has not arrived after `bodyMs`. */
  constructor(request: HttpRequest, response: HttpResponse, bodyMs: number) {
    this.request = request;
    this.response = response;
    this.#timer = setTimeout(() => response.destroy(), bodyMs);
    response.once('close', () => {
      this.#stopTimer();
      this.#call?.cancel();
      if (request instanceof IncomingMessage && !request.complete) closeAfterLinger(request);
    });
  }

  /** To be called when the request is read: from now on the call's deadline applies, and a disconnect cancels the call. */
  begin(call: CallContext): void {
    this.#stopTimer();
    this.#call = call;
    if (this.response.destroyed) call.cancel();
  }

  header = (name: string): string | undefined => {
    const value = this.request.headers[name];
    return typeof value === 'string' ? value : value?.[0];
  };

  /** The stream to write the response to; writing to an HTTP/2 stream itself costs less than to its response. */
  get output(): Writable {
    return this.response instanceof ServerResponse ? this.response : this.response.stream;
  }

  /** Starts a streamed response. */
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

// Node discards the remaining body so that the connection can be reused. A body that does not end soon costs more than
// a new connection. Closing at once would reset the connection before the client has read the response.
function closeAfterLinger(request: IncomingMessage): void {
  setTimeout(() => {
    if (!request.complete) request.socket.destroy();
  }, lingerMs).unref();
}
