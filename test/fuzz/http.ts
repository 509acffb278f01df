import http from 'node:http';
import http2 from 'node:http2';
import { CodeSchema } from '#gen/google/rpc/code_pb.ts';
import type { Edge } from '../kit/app.ts';
import type { RawRequest } from './requests.ts';

/** How a call ended: a canonical code, `HTTP 415`, `CLOSED` without a response, or `TIMEOUT`. */
export type Outcome = { readonly code: string; readonly text: string };

const TIMEOUT_MS = 30_000;
const SESSION_MEGABYTES = 10_000;
const MAX_BODY_BYTES = 100_000;

type Received = { readonly status: number; readonly headers: Headers; readonly body: Buffer };
type Headers = Readonly<Record<string, string | readonly string[] | number | undefined>>;

/** Sends requests to both edges, over connections that are opened again when the service closes them. */
export class HttpClient implements Disposable {
  readonly #addresses: Readonly<Record<Edge, string>>;
  readonly #sessions = new Map<Edge, http2.ClientHttp2Session>();
  readonly #agent = new http.Agent({ keepAlive: true });

  constructor(addresses: Readonly<Record<Edge, string>>) {
    this.#addresses = addresses;
  }

  /** Sends a request and waits for the end of its response; of a stream, for the first message. */
  async send(request: RawRequest): Promise<Outcome> {
    const send = request.httpVersion === 2 ? this.#sendHttp2(request) : this.#sendHttp1(request);
    const received = await send.catch((error: Error) => error);
    if (received instanceof Error)
      return { code: received.name === 'TimeoutError' ? 'TIMEOUT' : 'CLOSED', text: received.message };
    return outcomeOf(received);
  }

  [Symbol.dispose](): void {
    for (const session of this.#sessions.values()) session.destroy();
    this.#agent.destroy();
  }

  #session(edge: Edge): http2.ClientHttp2Session {
    const open = this.#sessions.get(edge);
    if (open !== undefined && !open.closed && !open.destroyed) return open;
    // Node's client counts what it did not send of a body that the service rejected until the session ends. At the default
    // of 10 MB it resets all further streams.
    const session = http2.connect(`http://${this.#addresses[edge]}`, { maxSessionMemory: SESSION_MEGABYTES });
    session.on('error', () => {});
    this.#sessions.set(edge, session);
    return session;
  }

  #sendHttp2({ edge, verb, path, headers, body, isStream }: RawRequest): Promise<Received> {
    return new Promise((resolve, reject) => {
      // By default, Node would end the request of a GET before `end` is called.
      const stream = this.#session(edge).request(
        { ':method': verb, ':path': path, ...headers },
        { endStream: false },
      );
      const timer = setTimeout(() => stream.destroy(timeout()), TIMEOUT_MS);
      let received: Headers = {};
      const reader = new BodyReader(isStream, () => stream.close(http2.constants.NGHTTP2_CANCEL));
      stream.on('response', (response) => {
        received = { ...received, ...response };
      });
      stream.on('trailers', (trailers) => {
        received = { ...received, ...trailers };
      });
      stream.on('data', (chunk: Buffer) => reader.read(chunk));
      stream.on('error', (error) => reject(error));
      // A response may end before the service has read its request, which then does not end.
      stream.on('end', () => stream.close());
      stream.on('close', () => {
        clearTimeout(timer);
        const status = Number(received[':status'] ?? 0);
        if (status === 0) reject(new Error(`reset ${stream.rstCode}`));
        else resolve({ status, headers: received, body: reader.body });
      });
      stream.end(body);
    });
  }

  #sendHttp1({ edge, verb, path, headers, body, isStream }: RawRequest): Promise<Received> {
    return new Promise((resolve, reject) => {
      const url = `http://${this.#addresses[edge]}${path}`;
      const request = http.request(url, { method: verb, headers, agent: this.#agent });
      const timer = setTimeout(() => request.destroy(timeout()), TIMEOUT_MS);
      request.on('error', reject);
      let hasResponse = false;
      request.on('close', () => {
        clearTimeout(timer);
        if (!hasResponse) reject(new Error('closed without a response'));
      });
      request.on('response', (response) => {
        hasResponse = true;
        const reader = new BodyReader(isStream, () => response.destroy());
        response.on('data', (chunk: Buffer) => reader.read(chunk));
        response.on('error', () => {});
        response.on('close', () => {
          const { statusCode = 0, trailers } = response;
          resolve({ status: statusCode, headers: { ...response.headers, ...trailers }, body: reader.body });
        });
      });
      request.end(body);
    });
  }
}

/** Keeps the beginning of a body; stops a stream at its first message, which would otherwise not end. */
class BodyReader {
  readonly #chunks: Buffer[] = [];
  readonly #isStream: boolean;
  readonly #stop: () => void;
  #length = 0;

  constructor(isStream: boolean, stop: () => void) {
    this.#isStream = isStream;
    this.#stop = stop;
  }

  get body(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  read(chunk: Buffer): void {
    if (this.#length < MAX_BODY_BYTES) this.#chunks.push(chunk);
    this.#length += chunk.length;
    if (this.#isStream && this.body[0] === 0) this.#stop();
  }
}

function outcomeOf({ status, headers, body }: Received): Outcome {
  const type = String(headers['content-type'] ?? '');
  const grpcStatus = headers['grpc-status'];
  if (grpcStatus !== undefined) return grpcOutcome(String(grpcStatus), String(headers['grpc-message'] ?? ''));
  if (type.startsWith('application/grpc-web')) {
    const text = body.toString('latin1');
    const trailer = /grpc-status: ?(\d+)/.exec(text)?.[1];
    const message = /grpc-message: ?(.*)/.exec(text)?.[1];
    if (trailer !== undefined) return grpcOutcome(trailer, message ?? '');
  }
  if (type.startsWith('application/connect+') && body[0] !== 0) return connectOutcome(body.subarray(5), 200);
  if (status === 200) return { code: 'OK', text: '' };
  return connectOutcome(body, status);
}

function grpcOutcome(status: string, text: string): Outcome {
  return {
    code: CodeSchema.values.find(({ number }) => number === Number(status))?.name ?? `grpc-status ${status}`,
    text,
  };
}

/** The error of a body in JSON, if it has one. */
function connectOutcome(body: Buffer, status: number): Outcome {
  const text = body.toString();
  const code = /"code":\s*"([a-z_]+)"/.exec(text)?.[1]?.toUpperCase();
  if (code !== undefined) return { code: code === 'CANCELED' ? 'CANCELLED' : code, text: text.slice(0, 300) };
  return { code: status === 200 ? 'OK' : `HTTP ${status}`, text: text.slice(0, 300) };
}

function timeout(): Error {
  const error = new Error(`no response within ${TIMEOUT_MS} ms`);
  error.name = 'TimeoutError';
  return error;
}
