import type { Readable } from 'node:stream';

/** A request that a client sends to the store. */
export type PresignedPut = { readonly url: string; readonly headers: Record<string, string> };

/** SHA-256 values are base64. */
export type PartToPut = {
  readonly key: string;
  /** Multipart upload; null for an object of one part. */
  readonly uploadId: string | null;
  readonly number: number;
  readonly size: number;
  readonly sha256: string;
  readonly contentType: string;
  readonly expiresMs: number;
};

export type StoredPart = {
  readonly number: number;
  readonly size: number;
  readonly etag: string;
  readonly sha256: string | undefined;
};

export type StoredObject = {
  readonly size: number;
  /** For a multipart upload, that of the checksums of its parts, followed by their number. */
  readonly sha256: string | undefined;
};

/** An S3-compatible store. All methods throw UNAVAILABLE (STORAGE_UNAVAILABLE) if it cannot be reached. */
export type Storage = {
  readonly bucket: string;
  presignPut(part: PartToPut): Promise<PresignedPut>;
  presignGet(key: string, as: { type: string; disposition: string; expiresMs: number }): Promise<string>;
  /** A URL with which this service reads an object; the store may have another name for clients. */
  presignRead(key: string, expiresMs: number): Promise<string>;
  createUpload(key: string, contentType: string): Promise<string>;
  /** Undefined if the upload does not exist, or has been completed. */
  listParts(key: string, uploadId: string): Promise<readonly StoredPart[] | undefined>;
  completeUpload(key: string, uploadId: string, parts: readonly StoredPart[]): Promise<void>;
  abortUpload(key: string, uploadId: string): Promise<void>;
  /** Undefined if there is no such object. */
  head(key: string): Promise<StoredObject | undefined>;
  readStart(key: string, bytes: number): Promise<Buffer>;
  read(key: string, signal: AbortSignal): Promise<Readable>;
  put(key: string, contentType: string, body: Buffer): Promise<void>;
  copy(from: string, to: string): Promise<void>;
  /** Has no effect if there is no such object. */
  remove(key: string): Promise<void>;
  /** A page of keys in order, after a key. */
  list(prefix: string, after: string, limit: number): Promise<readonly string[]>;
  close(): void;
};
