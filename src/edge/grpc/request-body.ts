import { constants, type ServerHttp2Stream } from 'node:http2';
import type { ServerInterceptingCallInterface } from '@grpc/grpc-js';
import { Code } from '#gen/google/rpc/code_pb.ts';
import { errors, type RpcError } from '../../rpc/errors.ts';
import { limitMessages } from './http2-stream.ts';
import { toStatus } from './status.ts';

// Time for a client to end or reset its request after it has received the status.
const LINGER_MS = 250;

// grpc-js ends the call with one of these texts.
const TOO_LARGE = /^Received message (larger than max|that decompresses to a size larger than)/;

/** What is known of the connection of a request. */
export type RequestConnection = {
  /** Calls back when the connection of a stream has been read again. */
  afterRead(stream: ServerHttp2Stream, callback: () => void): void;
  /** To be called when a call has ended, and its client has neither ended nor reset its request in time. */
  unended(stream: ServerHttp2Stream): void;
};

type SendStatus = ServerInterceptingCallInterface['sendStatus'];

/** The body of a request that grpc-js reads: limits it, and stops it when the call ends before the body. */
export class RequestBody {
  readonly #grpcCall: ServerInterceptingCallInterface;
  readonly #stream: ServerHttp2Stream;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;
  #isClosed = false;
  #onRead: (() => void) | undefined;

  constructor(grpcCall: ServerInterceptingCallInterface, stream: ServerHttp2Stream) {
    this.#grpcCall = grpcCall;
    this.#stream = stream;
  }

  limitTime(ms: number): void {
    this.#timer = setTimeout(() => this.#reject(errors.deadlineExceeded()), ms);
  }

  /**
   * Limits each message before and after it is decompressed. Calls `onTooLarge` instead of ending the call, which then ends
   * by `sendStatus`.
   */
  limitMessages(maxBytes: number, onTooLarge: (sendStatus: SendStatus) => void): void {
    limitMessages(this.#grpcCall, maxBytes);
    const sendStatus = this.#grpcCall.sendStatus.bind(this.#grpcCall);
    let isTooLarge = false;
    this.#grpcCall.sendStatus = (status) => {
      // grpc-js reports the same again for further bytes, and that the message is missing.
      if (isTooLarge) return;
      isTooLarge = status.code === Code.RESOURCE_EXHAUSTED && TOO_LARGE.test(status.details);
      if (isTooLarge) onTooLarge(sendStatus);
      else sendStatus(status);
    };
  }

  /** Counts the bytes of all messages, compressed or not. */
  limitSize(maxBytes: number): void {
    let length = 0;
    this.#stream.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > maxBytes) this.#reject(errors.requestTooLarge(maxBytes));
    });
  }

  /** Calls back when the body has been read, or will not be. */
  onceRead(callback: () => void): void {
    if (this.#ended || this.#isClosed) callback();
    else this.#onRead = callback;
  }

  /** To be called when the body has been read. */
  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#onRead?.();
  }

  /** To be called when the call has ended. grpc-js would discard the remaining body for as long as the client sends. */
  close(connection: RequestConnection): void {
    clearTimeout(this.#timer);
    this.#isClosed = true;
    this.#onRead?.();
    if (this.#ended || this.#stream.closed || this.#stream.state.remoteClose === 1) return;
    const check = () => {
      if (this.#stream.closed) return;
      this.#stream.close(constants.NGHTTP2_NO_ERROR);
      connection.unended(this.#stream);
    };
    // A reset that was sent in time may not be read yet.
    const timer = setTimeout(() => connection.afterRead(this.#stream, check), LINGER_MS).unref();
    this.#stream.once('close', () => clearTimeout(timer));
  }

  #reject(error: RpcError): void {
    this.#grpcCall.sendStatus(toStatus(error, 'request'));
  }
}
