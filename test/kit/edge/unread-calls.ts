import http2 from 'node:http2';
import { envelope } from '../../../src/rpc/frame.ts';

/** Calls of a client with a flow-control window of zero: it receives the headers of responses only. */
export class UnreadCalls {
  responses = 0;
  rejections = 0;
  cutOff = 0;
  open = 0;
  readonly #session: http2.ClientHttp2Session;
  readonly #token: string;

  constructor(address: string, token: string) {
    this.#session = http2.connect(`http://${address}`, { settings: { initialWindowSize: 0 } });
    this.#session.on('error', () => {});
    this.#token = token;
  }

  call(path: string, contentType: string, message: Uint8Array): void {
    this.open += 1;
    const request = this.#session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': contentType,
      te: 'trailers',
      authorization: `Bearer ${this.#token}`,
    });
    request.on('response', (headers) => {
      this.responses += 1;
      if (headers['grpc-status'] === '8' || headers[':status'] === 429) this.rejections += 1;
    });
    request.on('error', () => {});
    request.on('close', () => {
      this.open -= 1;
      if (request.rstCode === http2.constants.NGHTTP2_CANCEL) this.cutOff += 1;
    });
    request.end(contentType === 'application/proto' ? message : envelope(Buffer.from(message)));
  }

  [Symbol.dispose](): void {
    this.#session.destroy();
  }
}
