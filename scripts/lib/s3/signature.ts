import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { S3Error } from './error.ts';

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
}

const MAX_SKEW_MS = 900_000;
const MAX_EXPIRY_SECONDS = 604_800;
const UNSIGNED = 'UNSIGNED-PAYLOAD';

interface Signature {
  readonly credential: string;
  readonly signedHeaders: string;
  readonly signature: string;
  readonly date: string;
  /** Hex SHA-256 of the body, or UNSIGNED-PAYLOAD. */
  readonly payload: string;
}

/** Verifies AWS signature version 4 of a request, in its headers or in its URL; returns the signed hash of its body. */
export function verifySignature(
  request: IncomingMessage,
  url: URL,
  credentials: Credentials,
  nowMs: number,
): string {
  const isPresigned = url.searchParams.has('X-Amz-Signature');
  const given = isPresigned ? fromQuery(url.searchParams, nowMs) : fromHeaders(request, nowMs);
  const [accessKeyId, ...scope] = given.credential.split('/');
  if (accessKeyId !== credentials.accessKeyId) throw new S3Error(403, 'InvalidAccessKeyId');
  if (
    scope[0] !== given.date.slice(0, 8) ||
    scope.slice(1).join('/') !== `${credentials.region}/s3/aws4_request`
  )
    throw new S3Error(400, 'AuthorizationHeaderMalformed');
  requireSigned(request, given.signedHeaders.split(';'));
  const canonical = [
    request.method,
    canonicalPath(url),
    canonicalQuery(url),
    canonicalHeaders(request, given.signedHeaders.split(';')),
    given.signedHeaders,
    given.payload,
  ].join('\n');
  const text = ['AWS4-HMAC-SHA256', given.date, scope.join('/'), sha256(canonical)].join('\n');
  const key = scope.reduce<string | Buffer>(
    (secret, part) => hmac(secret, part),
    `AWS4${credentials.secretAccessKey}`,
  );
  if (!isEqual(hmac(key, text).toString('hex'), given.signature))
    throw new S3Error(403, 'SignatureDoesNotMatch');
  return given.payload;
}

function fromQuery(query: URLSearchParams, nowMs: number): Signature {
  const read = (name: string) => query.get(name) ?? '';
  const expires = Number(read('X-Amz-Expires'));
  const date = read('X-Amz-Date');
  if (!(expires >= 1 && expires <= MAX_EXPIRY_SECONDS))
    throw new S3Error(400, 'AuthorizationQueryParametersError');
  const signedMs = parseDate(date);
  // Also false for a date that is not one.
  if (!(signedMs <= nowMs + MAX_SKEW_MS)) throw new S3Error(403, 'AccessDenied', 'Request is not yet valid');
  if (nowMs > signedMs + expires * 1000) throw new S3Error(403, 'AccessDenied', 'Request has expired');
  return {
    credential: read('X-Amz-Credential'),
    signedHeaders: read('X-Amz-SignedHeaders'),
    signature: read('X-Amz-Signature'),
    date,
    payload: query.get('X-Amz-Content-Sha256') ?? UNSIGNED,
  };
}

function fromHeaders({ headers }: IncomingMessage, nowMs: number): Signature {
  const pattern = /^AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]+)$/;
  const [, credential = '', signedHeaders = '', signature] = pattern.exec(headers.authorization ?? '') ?? [];
  if (signature === undefined) throw new S3Error(403, 'AccessDenied');
  const date = `${headers['x-amz-date']}`;
  if (!(Math.abs(nowMs - parseDate(date)) < MAX_SKEW_MS)) throw new S3Error(403, 'RequestTimeTooSkewed');
  return { credential, signedHeaders, signature, date, payload: `${headers['x-amz-content-sha256']}` };
}

// As AWS: the host, and every x-amz- header that is sent.
function requireSigned({ headers }: IncomingMessage, signed: readonly string[]): void {
  const needed = ['host', ...Object.keys(headers).filter((name) => name.startsWith('x-amz-'))];
  const missing = needed.find((name) => !signed.includes(name));
  if (missing !== undefined) throw new S3Error(403, 'AccessDenied', `header not signed: ${missing}`);
}

function canonicalPath(url: URL): string {
  return url.pathname
    .split('/')
    .map((part) => encode(decodeURIComponent(part)))
    .join('/');
}

function canonicalQuery(url: URL): string {
  return [...url.searchParams]
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join('&');
}

function canonicalHeaders({ headers }: IncomingMessage, names: readonly string[]): string {
  const line = (name: string) => `${name}:${`${headers[name] ?? ''}`.trim().replace(/ +/g, ' ')}\n`;
  return names.map(line).join('');
}

function parseDate(text: string): number {
  return Date.parse(text.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'));
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

function isEqual(left: string, right: string): boolean {
  const [a, b] = [Buffer.from(left), Buffer.from(right)];
  return a.length === b.length && timingSafeEqual(a, b);
}
