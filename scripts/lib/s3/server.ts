import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { S3Error } from './error.ts';
import { type Credentials, verifySignature } from './signature.ts';
import { ObjectStore, type StoredObject } from './store.ts';
import { escapeXml, readParts, xmlOf } from './xml.ts';

export interface S3Options extends Credentials {
  readonly bucket: string;
  /** Folder of the objects. */
  readonly folder: string;
  readonly port?: number;
}

export interface S3Server {
  readonly url: string;
  close(): Promise<void>;
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
  readonly key: string;
  /** Signed hex SHA-256 of the body, or UNSIGNED-PAYLOAD. */
  readonly payload: string;
  readonly store: ObjectStore;
}

const MAX_XML_BYTES = 1 << 20;
const PAGE = 1_000;

/**
 * The part of S3 that the service and browsers need, for development and tests: one bucket with path-style addresses,
 * signatures of version 4, presigned URLs, SHA-256 checksums, ranges, multipart uploads and CORS.
 */
export async function startS3(options: S3Options): Promise<S3Server> {
  const store = new ObjectStore(options.folder);
  await store.open();
  const server = createServer((request, response) => {
    respond(options, store, request, response).catch((error: unknown) => sendError(request, response, error));
  });
  const address = await listen(server, options.port ?? 0);
  return {
    url: `http://127.0.0.1:${address}`,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

async function listen(server: Server, port: number): Promise<number> {
  await new Promise<void>((done, fail) => {
    server.once('error', fail);
    server.listen(port, '127.0.0.1', done);
  });
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}

async function respond(
  options: S3Options,
  store: ObjectStore,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  allowOrigin(request, response);
  if (request.method === 'OPTIONS') return void response.writeHead(200).end();
  const url = new URL(request.url ?? '/', 'http://s3');
  const payload = verifySignature(request, url, options, Date.now());
  const [, bucket = '', ...rest] = url.pathname.split('/').map(decodeURIComponent);
  if (bucket !== options.bucket) throw new S3Error(404, 'NoSuchBucket');
  const query = url.searchParams;
  const exchange = { request, response, query, key: rest.join('/'), payload, store };
  const handle = exchange.key === '' ? onBucket : query.has('uploadId') ? onUpload : onObject;
  await handle(exchange);
}

function allowOrigin({ headers }: IncomingMessage, response: ServerResponse): void {
  response.setHeader('x-amz-request-id', randomUUID());
  if (headers.origin === undefined) return;
  response.setHeader('access-control-allow-origin', headers.origin);
  response.setHeader('vary', 'origin');
  response.setHeader('access-control-allow-methods', 'GET, HEAD, PUT');
  response.setHeader('access-control-allow-headers', headers['access-control-request-headers'] ?? '*');
  response.setHeader('access-control-expose-headers', 'etag, x-amz-checksum-sha256');
  response.setHeader('access-control-max-age', '600');
}

async function onBucket({ request, response, query, store }: Exchange): Promise<void> {
  if (request.method === 'HEAD') return void response.writeHead(200).end();
  if (request.method !== 'GET') throw new S3Error(501, 'NotImplemented');
  const prefix = query.get('prefix') ?? '';
  if (query.has('uploads')) {
    const uploads = await store.listUploads(prefix);
    const rows = uploads.map(({ key, id }) => xmlOf('Upload', { Key: key, UploadId: id }));
    return sendXml(response, `<ListMultipartUploadsResult>${rows.join('')}</ListMultipartUploadsResult>`);
  }
  const all = await store.list(prefix, query.get('continuation-token') ?? query.get('start-after') ?? '');
  const page = all.slice(0, Math.min(PAGE, Number(query.get('max-keys') ?? PAGE)));
  const next = all.length > page.length ? page.at(-1)?.key : undefined;
  const rows = page.map(({ key, size, etag, modified }) =>
    xmlOf('Contents', { Key: key, Size: `${size}`, ETag: etag, LastModified: modified }),
  );
  const token = next === undefined ? '' : `<NextContinuationToken>${escapeXml(next)}</NextContinuationToken>`;
  sendXml(
    response,
    `<ListBucketResult><IsTruncated>${next !== undefined}</IsTruncated>${token}${rows.join('')}</ListBucketResult>`,
  );
}

async function onUpload({ request, response, query, key, payload, store }: Exchange): Promise<void> {
  const id = query.get('uploadId') ?? '';
  if (request.method === 'PUT') {
    const number = Number(query.get('partNumber'));
    if (!(Number.isInteger(number) && number >= 1 && number <= 10_000))
      throw new S3Error(400, 'InvalidArgument');
    const part = await store.putPart(key, id, number, bodyOf(request, payload));
    return void response.writeHead(200, { etag: part.etag, 'x-amz-checksum-sha256': part.sha256 }).end();
  }
  if (request.method === 'GET') {
    const parts = await store.listParts(key, id);
    const rows = parts.map(({ number, size, etag, sha256 }) =>
      xmlOf('Part', { PartNumber: `${number}`, Size: `${size}`, ETag: etag, ChecksumSHA256: sha256 }),
    );
    return sendXml(
      response,
      `<ListPartsResult><IsTruncated>false</IsTruncated>${rows.join('')}</ListPartsResult>`,
    );
  }
  if (request.method === 'DELETE') {
    await store.abortUpload(key, id);
    return void response.writeHead(204).end();
  }
  const object = await store.completeUpload(key, id, readParts(await readText(request)));
  sendXml(response, xmlOf('CompleteMultipartUploadResult', { Key: key, ETag: object.etag }));
}

async function onObject(exchange: Exchange): Promise<void> {
  const { request, response, query, key, store } = exchange;
  const { method, headers } = request;
  if (method === 'POST' && query.has('uploads')) {
    const id = await store.createUpload(key, headers['content-type'] ?? 'binary/octet-stream');
    return sendXml(response, xmlOf('InitiateMultipartUploadResult', { Key: key, UploadId: id }));
  }
  if (method === 'PUT') return put(exchange);
  if (method === 'DELETE') {
    await store.remove(key);
    return void response.writeHead(204).end();
  }
  if (method !== 'GET' && method !== 'HEAD') throw new S3Error(501, 'NotImplemented');
  await sendObject(exchange, await store.find(key));
}

async function put({ request, response, key, payload, store }: Exchange): Promise<void> {
  const { headers } = request;
  const source = headers['x-amz-copy-source'];
  if (source !== undefined) {
    const [, ...from] = decodeURIComponent(`${source}`).replace(/^\//, '').split('/');
    const object = await store.copy(from.join('/'), key);
    return sendXml(response, xmlOf('CopyObjectResult', { ETag: object.etag, LastModified: object.modified }));
  }
  const type = headers['content-type'] ?? 'binary/octet-stream';
  const object = await store.put(key, type, bodyOf(request, payload));
  response.writeHead(200, { etag: object.etag, 'x-amz-checksum-sha256': object.sha256 }).end();
}

// aws-chunked bodies are not supported: decoding them is where other small servers corrupt objects.
function bodyOf(request: IncomingMessage, payload: string) {
  if (payload.startsWith('STREAMING-')) throw new S3Error(501, 'NotImplemented');
  const checksum = request.headers['x-amz-checksum-sha256'];
  const stated = checksum === undefined ? [] : [`${checksum}`];
  const signed = payload === 'UNSIGNED-PAYLOAD' ? [] : [Buffer.from(payload, 'hex').toString('base64')];
  return { stream: request, sha256: [...stated, ...signed] };
}

async function sendObject(exchange: Exchange, object: StoredObject): Promise<void> {
  const { request, response, query, store } = exchange;
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const first = Number(range?.[1] ?? 0);
  const last = Math.min(object.size - 1, range?.[2] ? Number(range[2]) : object.size - 1);
  if (range !== null && first >= object.size) throw new S3Error(416, 'InvalidRange');
  const disposition = query.get('response-content-disposition');
  const cacheControl = query.get('response-cache-control');
  response.writeHead(range === null ? 200 : 206, {
    etag: object.etag,
    'last-modified': new Date(object.modified).toUTCString(),
    'content-type': query.get('response-content-type') ?? object.type,
    'content-length': last - first + 1,
    'accept-ranges': 'bytes',
    ...(disposition === null ? {} : { 'content-disposition': disposition }),
    ...(cacheControl === null ? {} : { 'cache-control': cacheControl }),
    ...(range === null ? {} : { 'content-range': `bytes ${first}-${last}/${object.size}` }),
    ...(request.headers['x-amz-checksum-mode'] === 'ENABLED' && range === null
      ? { 'x-amz-checksum-sha256': object.sha256 }
      : {}),
  });
  if (request.method === 'HEAD' || object.size === 0) return void response.end();
  await pipeline(store.read(object.key, first, last), response);
}

async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    const bytes = Buffer.from(chunk);
    size += bytes.length;
    if (size > MAX_XML_BYTES) throw new S3Error(400, 'EntityTooLarge');
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString();
}

function sendXml(response: ServerResponse, body: string): void {
  response
    .writeHead(200, { 'content-type': 'application/xml' })
    .end(`<?xml version="1.0" encoding="UTF-8"?>${body}`);
}

function sendError(request: IncomingMessage, response: ServerResponse, cause: unknown): void {
  const error = cause instanceof S3Error ? cause : new S3Error(500, 'InternalError', String(cause));
  if (response.headersSent || response.destroyed) return void response.destroy();
  // Without `connection: close`: the client may still be sending the body, and would see a reset instead of the error.
  response.writeHead(error.status, { 'content-type': 'application/xml' });
  response.end(request.method === 'HEAD' ? '' : xmlOf('Error', { Code: error.code, Message: error.message }));
  request.resume();
}
