import { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import type { Config } from '../config.ts';
import { errors } from '../rpc/errors.ts';
import type { PartToPut, PresignedPut, Storage, StoredPart } from './storage.ts';

type Settings = Config['storage'];

const CHECKSUM = 'x-amz-checksum-sha256';
const ATTEMPTS = 2;

/** A bucket of an S3-compatible store. */
export function openS3(settings: Settings, bucket: string): Storage {
  const client = createClient(settings, settings.endpoint);
  // Clients may reach the store by another name than the service; the name is part of the signature.
  const signer = createClient(settings, settings.publicEndpoint ?? settings.endpoint);
  const at = (key: string) => ({ Bucket: bucket, Key: key });
  const abortSignal = () => ({ abortSignal: AbortSignal.timeout(settings.timeoutMs) });
  return {
    bucket,
    presignPut: (part) => presignPut(signer, bucket, part),
    presignGet: (key, { type, disposition, expiresMs }) =>
      getSignedUrl(
        signer,
        new GetObjectCommand({
          ...at(key),
          ResponseContentType: type,
          ResponseContentDisposition: disposition,
          ResponseCacheControl: 'private, max-age=300',
        }),
        { expiresIn: Math.floor(expiresMs / 1000) },
      ),
    presignRead: (key, expiresMs) =>
      getSignedUrl(client, new GetObjectCommand(at(key)), { expiresIn: Math.floor(expiresMs / 1000) }),
    async createUpload(key, contentType) {
      const command = new CreateMultipartUploadCommand({
        ...at(key),
        ContentType: contentType,
        ChecksumAlgorithm: 'SHA256',
      });
      const { UploadId } = await available(client.send(command, abortSignal()));
      if (UploadId === undefined) throw errors.storageUnavailable();
      return UploadId;
    },
    listParts: (key, uploadId) => unlessMissing(listParts(client, { ...at(key), UploadId: uploadId })),
    async completeUpload(key, uploadId, parts) {
      const Parts = parts.map(({ number, etag, sha256 }) => ({
        PartNumber: number,
        ETag: etag,
        ...(sha256 === undefined ? {} : { ChecksumSHA256: sha256 }),
      }));
      const command = new CompleteMultipartUploadCommand({
        ...at(key),
        UploadId: uploadId,
        MultipartUpload: { Parts },
      });
      await available(client.send(command, abortSignal()));
    },
    async abortUpload(key, uploadId) {
      const command = new AbortMultipartUploadCommand({ ...at(key), UploadId: uploadId });
      await unlessMissing(client.send(command, abortSignal()));
    },
    async head(key) {
      const command = new HeadObjectCommand({ ...at(key), ChecksumMode: 'ENABLED' });
      const found = await unlessMissing(client.send(command, abortSignal()));
      return found && { size: found.ContentLength ?? 0, sha256: found.ChecksumSHA256 };
    },
    async readStart(key, bytes) {
      const command = new GetObjectCommand({ ...at(key), Range: `bytes=0-${bytes - 1}` });
      const { Body } = await available(client.send(command, abortSignal()));
      return Buffer.from((await Body?.transformToByteArray()) ?? []);
    },
    async read(key, signal) {
      const { Body } = await available(client.send(new GetObjectCommand(at(key)), { abortSignal: signal }));
      if (!(Body instanceof Readable)) throw errors.storageUnavailable();
      return Body;
    },
    async put(key, contentType, body) {
      const command = new PutObjectCommand({ ...at(key), ContentType: contentType, Body: body });
      await available(client.send(command, abortSignal()));
    },
    async copy(from, to) {
      const source = encodeURIComponent(`${bucket}/${from}`);
      await available(client.send(new CopyObjectCommand({ ...at(to), CopySource: source }), abortSignal()));
    },
    async remove(key) {
      await available(client.send(new DeleteObjectCommand(at(key)), abortSignal()));
    },
    async list(prefix, after, limit) {
      const page = { Bucket: bucket, Prefix: prefix, StartAfter: after, MaxKeys: limit };
      const command = new ListObjectsV2Command(page);
      const { Contents = [] } = await available(client.send(command, abortSignal()));
      return Contents.flatMap(({ Key }) => (Key === undefined ? [] : [Key]));
    },
    close() {
      client.destroy();
      signer.destroy();
    },
  };
}

function createClient(settings: Settings, endpoint: string | undefined): S3Client {
  const { accessKeyId, secretAccessKey, region, pathStyle, timeoutMs } = settings;
  return new S3Client({
    region,
    forcePathStyle: pathStyle,
    maxAttempts: ATTEMPTS,
    // Otherwise a URL for uploading would contain the checksum of an empty body.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: { connectionTimeout: timeoutMs, requestTimeout: timeoutMs },
    ...(endpoint === undefined ? {} : { endpoint }),
    // Without keys, the SDK finds those of the machine's role.
    ...(accessKeyId === undefined || secretAccessKey === undefined
      ? {}
      : { credentials: { accessKeyId, secretAccessKey } }),
  });
}

/** The signature covers length, type and checksum, so that the URL accepts exactly the bytes that were declared. */
async function presignPut(signer: S3Client, bucket: string, part: PartToPut): Promise<PresignedPut> {
  const { key, uploadId, number, size, sha256, contentType, expiresMs } = part;
  const common = { Bucket: bucket, Key: key, ContentLength: size, ChecksumSHA256: sha256 };
  const options = {
    expiresIn: Math.floor(expiresMs / 1000),
    unhoistableHeaders: new Set([CHECKSUM]),
    signableHeaders: new Set(['host', 'content-length', 'content-type', CHECKSUM]),
  };
  if (uploadId === null) {
    const command = new PutObjectCommand({ ...common, ContentType: contentType });
    const url = await getSignedUrl(signer, command, options);
    return { url, headers: { 'content-type': contentType, [CHECKSUM]: sha256 } };
  }
  const command = new UploadPartCommand({ ...common, UploadId: uploadId, PartNumber: number });
  // The SDK signs this type for a part, which has none of its own.
  const headers = { 'content-type': 'application/octet-stream', [CHECKSUM]: sha256 };
  return { url: await getSignedUrl(signer, command, options), headers };
}

async function listParts(
  client: S3Client,
  upload: { readonly Bucket: string; readonly Key: string; readonly UploadId: string },
): Promise<StoredPart[]> {
  const { Parts = [] } = await client.send(new ListPartsCommand(upload));
  return Parts.map(({ PartNumber = 0, Size = 0, ETag = '', ChecksumSHA256 }) => ({
    number: PartNumber,
    size: Size,
    etag: ETag,
    sha256: ChecksumSHA256,
  }));
}

/** Reports every failure of the store as UNAVAILABLE; its cause is in the log only. */
async function available<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw errors.storageUnavailable(error);
  }
}

/** The same, and undefined for what does not exist. */
async function unlessMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof S3ServiceException && error.$metadata.httpStatusCode === 404) return undefined;
    throw errors.storageUnavailable(error);
  }
}
