import { constants, type ServerHttp2Stream } from 'node:http2';
import type { ServerInterceptingCallInterface } from '@grpc/grpc-js';
import { errors, type RpcError } from '../../rpc/errors.ts';
import { toStatus } from './status.ts';

// Time for a client to end its request after it has received the status.
const LINGER_MS = 1_000;

/** The body of a request that grpc-js reads: limits it, and stops it when the call ends before the body. */
export class RequestBody {
  readonly #grpcCall: ServerInterceptingCallInterface;
  readonly #stream: ServerHttp2Stream;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(grpcCall: ServerInterceptingCallInterface, stream: ServerHttp2Stream) {
    this.#grpcCall = grpcCall;
    this.#stream = stream;
  }

  limitTime(ms: number): void {
    this.#timer = setTimeout(() => this.#reject(errors.deadlineExceeded()), ms);
  }

  /** Counts what grpc-js reads: it buffers a message, and decompresses it, up to a limit for all methods. */
  limitSize(maxBytes: number): void {
    let length = 0;
    this.#stream.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > maxBytes) this.#reject(errors.requestTooLarge(maxBytes));
    });
  }

  /** To be called when the body has been read. */
  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
  }

  /** To be called when the call has ended. grpc-js would discard the remaining body for as long as the client sends. */
  close(): void {
    clearTimeout(this.#timer);
    if (this.#ended || this.#stream.state.remoteClose === 1) return;
    // Closing the stream could overtake its trailers.
    const lingerMs = this.#stream.sentTrailers === undefined ? 0 : LINGER_MS;
    this.#timer = setTimeout(() => this.#stream.close(constants.NGHTTP2_NO_ERROR), lingerMs).unref();
  }

  #reject(error: RpcError): void {
    this.#grpcCall.sendStatus(toStatus(error, 'request'));
  }
}
