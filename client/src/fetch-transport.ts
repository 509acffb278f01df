import { ApiError, type Code } from './api-error.ts';
import { readDetails } from './error-details.ts';
import type { CallOptions, Transport } from './transport.ts';

export type FetchTransportOptions = {
  /** Web edge of the service, without a slash at the end. */
  readonly baseUrl: string;
  /** Headers of every call, such as `accept-language`. */
  readonly headers?: () => Readonly<Record<string, string>>;
  /** Deadline of unary calls that have none of their own. Streams have none. */
  readonly timeoutMs?: number;
};

const PACKAGE = 'serp.discuss.v1';
const UNARY_TYPE = 'application/json';
const STREAM_TYPE = 'application/connect+json';
const TIMEOUT_MS = 30_000;
// The service sends at most 3 MB, but a proxy can send anything.
const MAX_BYTES = 4_194_304;
const PREFIX_BYTES = 5;
const COMPRESSED = 1;
const END_OF_STREAM = 2;

/** Of responses without an error of the service, for example of a proxy. */
const CODES: Readonly<Record<number, Code>> = {
  400: 'internal',
  401: 'unauthenticated',
  403: 'permission_denied',
  404: 'unimplemented',
  429: 'unavailable',
  502: 'unavailable',
  503: 'unavailable',
  504: 'unavailable',
};

/**
 * Speaks the JSON form of the Connect protocol (https://connectrpc.com/docs/protocol) over fetch: a unary call is a request
 * with a JSON body; a stream is a sequence of envelopes, each with a byte of flags and the length, the last of which has the
 * error, if there is one.
 */
export function fetchTransport(options: FetchTransportOptions): Transport {
  const { baseUrl, headers = () => ({}), timeoutMs = TIMEOUT_MS } = options;

  function post(
    method: string,
    type: string,
    body: string | Uint8Array<ArrayBuffer>,
    call: Call,
  ): Promise<Response> {
    return fetch(`${baseUrl}/${PACKAGE}.${method}`, {
      method: 'POST',
      headers: {
        'content-type': type,
        'connect-protocol-version': '1',
        ...(call.timeoutMs !== undefined && { 'connect-timeout-ms': `${Math.ceil(call.timeoutMs)}` }),
        ...headers(),
        ...call.headers,
      },
      body,
      signal: call.running,
    });
  }

  return {
    async unary(method, request, options) {
      const call = beginCall({ timeoutMs, ...options });
      try {
        const response = await post(method, UNARY_TYPE, JSON.stringify(request), call);
        const text = await readText(response);
        if (!response.ok || !hasType(response, UNARY_TYPE)) throw errorOf(response, text);
        return JSON.parse(text);
      } catch (error) {
        throw call.explain(error);
      } finally {
        call.end();
      }
    },
    async *stream(method, request, options) {
      const call = beginCall({ ...options });
      try {
        const response = await post(method, STREAM_TYPE, envelope(JSON.stringify(request)), call);
        if (!response.ok || !hasType(response, STREAM_TYPE))
          throw errorOf(response, await readText(response));
        for await (const { flags, text } of envelopesOf(response)) {
          if ((flags & COMPRESSED) > 0) throw new ApiError('the message is compressed', 'internal');
          const message = JSON.parse(text);
          if ((flags & END_OF_STREAM) === 0) yield message;
          else if (message.error === undefined) return;
          else throw toApiError(message.error, 'unknown');
        }
        throw new ApiError('the stream was cut off', 'unavailable');
      } catch (error) {
        throw call.explain(error);
      } finally {
        call.end();
      }
    },
  };
}

type Call = ReturnType<typeof beginCall>;

function beginCall({ headers, signal, timeoutMs }: CallOptions) {
  const ended = new AbortController();
  const deadline = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
  const signals = [ended.signal, signal, deadline].filter((each) => each !== undefined);

  /** fetch does not state why a request failed. */
  function explain(error: unknown): ApiError {
    if (error instanceof ApiError) return error;
    const options = { cause: error };
    if (signal?.aborted) return new ApiError('the call was cancelled', 'canceled', {}, options);
    if (deadline?.aborted) return new ApiError('the deadline was exceeded', 'deadline_exceeded', {}, options);
    if (error instanceof SyntaxError) return new ApiError('the message is not JSON', 'internal', {}, options);
    return new ApiError('the service cannot be reached', 'unavailable', {}, options);
  }

  return { headers, timeoutMs, running: AbortSignal.any(signals), explain, end: () => ended.abort() };
}

function hasType(response: Response, type: string): boolean {
  return response.headers.get('content-type')?.split(';')[0] === type;
}

function errorOf(response: Response, text: string): ApiError {
  const code = CODES[response.status] ?? 'unknown';
  const isOfService = hasType(response, UNARY_TYPE) && !response.ok;
  return toApiError(isOfService ? JSON.parse(text) : { message: `HTTP ${response.status}` }, code);
}

type WireError = {
  readonly code?: Code;
  readonly message?: string;
  readonly details?: readonly { readonly type: string; readonly value: string }[];
};

/**
 * Of a detail only `type` and `value` are used: `debug` is for people, and clients must not depend on it
 * (https://connectrpc.com/docs/protocol#error-end-stream).
 */
function toApiError({ code, message = '', details = [] }: WireError, fallback: Code): ApiError {
  const encoded = details.map(({ type, value }) => ({
    type,
    value: Uint8Array.from(atob(value), (character) => character.charCodeAt(0)),
  }));
  return new ApiError(message, code ?? fallback, readDetails(encoded));
}

function envelope(text: string): Uint8Array<ArrayBuffer> {
  const message = new TextEncoder().encode(text);
  const bytes = new Uint8Array(PREFIX_BYTES + message.length);
  new DataView(bytes.buffer).setUint32(1, message.length);
  bytes.set(message, PREFIX_BYTES);
  return bytes;
}

async function* envelopesOf(response: Response): AsyncGenerator<{ flags: number; text: string }> {
  const read = byteReader(response);
  for (;;) {
    const prefix = await read(PREFIX_BYTES);
    if (prefix === undefined) return;
    const { byteOffset, byteLength } = prefix;
    const view = new DataView(prefix.buffer, byteOffset, byteLength);
    const message = await read(limited(view.getUint32(1)));
    if (message === undefined) return;
    yield { flags: view.getUint8(0), text: new TextDecoder().decode(message) };
  }
}

/** Reads so many bytes; undefined if the body ends before. */
function byteReader({ body }: Response): (length: number) => Promise<Uint8Array | undefined> {
  const reader = body?.getReader();
  let rest: Uint8Array = new Uint8Array();
  return async (length) => {
    const parts = [rest];
    let size = rest.length;
    while (size < length) {
      const { value } = (await reader?.read()) ?? {};
      if (value === undefined) return undefined;
      parts.push(value);
      size += value.length;
    }
    const all = parts.length === 1 ? rest : join(parts, size);
    rest = all.subarray(length);
    return all.subarray(0, length);
  };
}

async function readText({ body }: Response): Promise<string> {
  const reader = body?.getReader();
  const parts: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const { value } = (await reader?.read()) ?? {};
    if (value === undefined) return new TextDecoder().decode(join(parts, size));
    parts.push(value);
    size = limited(size + value.length);
  }
}

function join(parts: readonly Uint8Array[], size: number): Uint8Array {
  const all = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function limited(bytes: number): number {
  if (bytes > MAX_BYTES)
    throw new ApiError(`the message has more than ${MAX_BYTES} bytes`, 'resource_exhausted');
  return bytes;
}
