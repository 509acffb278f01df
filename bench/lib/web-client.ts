import http from 'node:http';
import http2, { type ClientHttp2Session } from 'node:http2';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { Caller } from './callers.ts';

const SESSIONS = 4;
const PATH = `/${MessageService.typeName}/SendMessage`;

/** A Connect client with little overhead: requests are encoded in advance, responses are not decoded. */
export interface WebClient extends Disposable {
  /** Resolves when the message is committed. */
  send(index: number, caller: Caller): Promise<unknown>;
}

/** Over HTTP/1.1, with a connection for each call in flight. */
export class Http1Client implements WebClient {
  readonly #agent = new http.Agent({ keepAlive: true });
  readonly #url: string;

  constructor(address: string) {
    this.#url = `http://${address}${PATH}`;
  }

  send(_index: number, caller: Caller): Promise<void> {
    const body = caller.message().withNewRequestId();
    const headers = { ...headersOf(caller), 'content-length': body.length };
    return new Promise((resolve, reject) => {
      const request = http.request(this.#url, { agent: this.#agent, method: 'POST', headers });
      request.on('error', reject);
      request.on('response', (response) => {
        response.resume();
        response.on('end', () => settle(response.statusCode, resolve, reject));
      });
      request.end(body);
    });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

/** Over HTTP/2, with as many connections as the gRPC client has. */
export class Http2Client implements WebClient {
  readonly #sessions: readonly ClientHttp2Session[];

  constructor(address: string) {
    this.#sessions = Array.from({ length: SESSIONS }, () => http2.connect(`http://${address}`));
  }

  send(index: number, caller: Caller): Promise<void> {
    const headers = { ...headersOf(caller), ':method': 'POST', ':path': PATH };
    return new Promise((resolve, reject) => {
      const stream = this.#sessions[index % SESSIONS]?.request(headers);
      if (stream === undefined) throw new RangeError('no session');
      let status: number | undefined;
      stream.on('error', reject);
      stream.on('response', (fields) => {
        status = fields[':status'];
      });
      stream.resume();
      stream.on('end', () => settle(status, resolve, reject));
      stream.end(caller.message().withNewRequestId());
    });
  }

  [Symbol.dispose](): void {
    for (const session of this.#sessions) session.destroy();
  }
}

function headersOf({ metadata }: Caller): Record<string, string> {
  return { authorization: `${metadata.get('authorization')[0]}`, 'content-type': 'application/proto' };
}

function settle(status: number | undefined, resolve: () => void, reject: (error: Error) => void): void {
  if (status === 200) resolve();
  else reject(new Error(`HTTP status ${status}`));
}
