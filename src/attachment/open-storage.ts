import type { Config } from '../config.ts';
import { errors } from '../rpc/errors.ts';
import type { Storage } from './storage.ts';

/** The configured store. Without S3_BUCKET, a store that is always unavailable. */
export async function openStorage({ storage }: Config): Promise<Storage> {
  if (storage.bucket === undefined) return missing;
  // Loading the SDK takes 0.4 s, which instances and tests without files save.
  const { openS3 } = await import('./s3.ts');
  return openS3(storage, storage.bucket);
}

const unavailable = async () => {
  throw errors.storageUnavailable();
};

const missing: Storage = {
  bucket: '',
  presignPut: unavailable,
  presignGet: unavailable,
  presignRead: unavailable,
  createUpload: unavailable,
  listParts: unavailable,
  completeUpload: unavailable,
  abortUpload: unavailable,
  head: unavailable,
  readStart: unavailable,
  read: unavailable,
  put: unavailable,
  copy: unavailable,
  remove: unavailable,
  list: unavailable,
  close() {},
};
