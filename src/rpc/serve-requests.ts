import type { Call, RequestStream, Sink } from './call.ts';
import { errors } from './errors.ts';
import type { Frame } from './frame.ts';

type Limits = {
  /** Requests that are served at a time. */
  readonly inFlight: number;
  /** Bytes of these requests, or of responses that wait for the client, above which no more requests are read. */
  readonly bufferBytes: number;
};

type Stream = { readonly requests: RequestStream; readonly call: Call; readonly sink: Sink };

/**
 * Serves the requests of a bidirectional stream concurrently, with a response each, in the order in which they are
 * completed. Resolves when the client has sent its last request and all have responses; rejects after a drain, when those
 * that were read have responses, or as soon as the call ends.
 */
export function serveRequests(
  stream: Stream,
  limits: Limits,
  serve: (request: Uint8Array) => Promise<Frame>,
): Promise<void> {
  return new Promise((resolve, reject) => new RequestPump(stream, limits, serve, resolve, reject));
}

class RequestPump {
  readonly #stream: Stream;
  readonly #limits: Limits;
  readonly #serve: (request: Uint8Array) => Promise<Frame>;
  readonly #resolve: () => void;
  readonly #reject: (error: unknown) => void;
  #inFlight = 0;
  #inFlightBytes = 0;
  #paused = false;
  #ending: 'ok' | 'draining' | undefined;

  constructor(
    stream: Stream,
    limits: Limits,
    serve: (request: Uint8Array) => Promise<Frame>,
    resolve: () => void,
    reject: (error: unknown) => void,
  ) {
    this.#stream = stream;
    this.#limits = limits;
    this.#serve = serve;
    this.#resolve = resolve;
    this.#reject = reject;
    const { requests, call } = stream;
    call.signal.addEventListener('abort', () => this.#fail(call.signal.reason));
    call.onDrain(() => this.#end('draining'));
    requests.read(
      (request) => this.#take(request),
      () => this.#end('ok'),
    );
  }

  #take(request: Uint8Array): void {
    // What was received before the stream was paused is not served after a drain has begun.
    if (this.#ending !== undefined) return;
    this.#inFlight += 1;
    this.#inFlightBytes += request.length;
    if (this.#isFull) this.#pause();
    this.#serve(request).then(
      (frame) => this.#respond(request.length, frame),
      (error) => this.#fail(error),
    );
  }

  #respond(requestBytes: number, frame: Frame): void {
    this.#stream.sink.write(frame);
    this.#inFlight -= 1;
    this.#inFlightBytes -= requestBytes;
    if (this.#ending !== undefined) this.#settle();
    if (this.#paused) this.#resume();
  }

  get #isFull(): boolean {
    const { inFlight, bufferBytes } = this.#limits;
    const isBusy = this.#inFlight >= inFlight || this.#inFlightBytes > bufferBytes;
    return isBusy || this.#stream.sink.buffered > bufferBytes;
  }

  #pause(): void {
    this.#paused = true;
    this.#stream.requests.pause();
  }

  #resume(): void {
    if (this.#ending !== undefined) return;
    if (!this.#isFull) {
      this.#paused = false;
      this.#stream.requests.resume();
    } else if (this.#inFlight === 0) this.#stream.sink.onDrain(() => this.#resume());
  }

  #end(how: 'ok' | 'draining'): void {
    if (this.#ending !== undefined) return;
    this.#ending = how;
    this.#stream.requests.pause();
    this.#settle();
  }

  #settle(): void {
    if (this.#inFlight > 0) return;
    if (this.#ending === 'ok') this.#resolve();
    else this.#reject(errors.serverDraining());
  }

  #fail(error: unknown): void {
    this.#ending ??= 'draining';
    this.#stream.requests.pause();
    this.#reject(error);
  }
}
