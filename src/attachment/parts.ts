import { createHash } from 'node:crypto';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { UploadPartSchema } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { errors } from '../rpc/errors.ts';
import type { AttachmentRow } from './sql.ts';
import type { Storage, StoredPart } from './storage.ts';

/** Size of the parts of a file in bytes, except the last. S3 requires 5 MiB or more. */
export const PART_BYTES = 16n << 20n;

type UploadPart = MessageInitShape<typeof UploadPartSchema>;
type Part = {
  readonly number: number;
  readonly offset: bigint;
  readonly size: bigint;
  readonly sha256: string;
};

export function countParts(fileSize: bigint): number {
  return Number((fileSize + PART_BYTES - 1n) / PART_BYTES);
}

/** The parts of an upload with URLs, and whether the store has them. */
export async function toUploadParts(
  storage: Storage,
  row: AttachmentRow,
  expiresMs: number,
): Promise<UploadPart[]> {
  const received = await findReceived(storage, row);
  return Promise.all(
    partsOf(row).map(async ({ number, offset, size, sha256 }) => {
      const put = await storage.presignPut({
        key: row.s3Key,
        uploadId: row.uploadId,
        number,
        size: Number(size),
        sha256,
        contentType: row.fileType ?? '',
        expiresMs,
      });
      return { number, offset, size, ...put, received: received.has(number) };
    }),
  );
}

/** Makes an object of the uploaded parts, and checks its size and checksum. */
export async function assemble(storage: Storage, row: AttachmentRow): Promise<void> {
  const parts = row.uploadId === null ? undefined : await storage.listParts(row.s3Key, row.uploadId);
  if (row.uploadId !== null && parts !== undefined) {
    const missing = partsOf(row).filter((part) => !isReceived(parts, part));
    const numbers = missing.map(({ number }) => number).join(', ');
    if (missing.length > 0) throw errors.uploadIncomplete(`missing parts: ${numbers}`);
    await storage.completeUpload(row.s3Key, row.uploadId, parts).catch(async (error) => {
      // Another call has completed it meanwhile.
      if ((await storage.head(row.s3Key)) === undefined) throw error;
    });
  }
  const object = await storage.head(row.s3Key);
  if (object === undefined) throw errors.uploadIncomplete('no bytes were uploaded');
  if (BigInt(object.size) !== row.fileSize) throw errors.uploadIncomplete('the file has another size');
  // Some stores report no checksum of a multipart upload; those of its parts were compared above.
  const isProved = object.sha256 === undefined ? parts !== undefined : object.sha256 === checksumOf(row);
  if (!isProved) throw errors.uploadIncomplete('the file has another checksum');
}

async function findReceived(storage: Storage, row: AttachmentRow): Promise<ReadonlySet<number>> {
  if (row.uploadId === null) {
    const object = await storage.head(row.s3Key);
    return new Set(object?.sha256 === checksumOf(row) ? [1] : []);
  }
  const parts = (await storage.listParts(row.s3Key, row.uploadId)) ?? [];
  return new Set(partsOf(row).flatMap((part) => (isReceived(parts, part) ? [part.number] : [])));
}

function isReceived(stored: readonly StoredPart[], { number, size, sha256 }: Part): boolean {
  return stored.some(
    (part) => part.number === number && BigInt(part.size) === size && part.sha256 === sha256,
  );
}

function partsOf({ fileSize, partSha256 }: AttachmentRow): Part[] {
  return partSha256.map((sha256, index) => {
    const offset = BigInt(index) * PART_BYTES;
    const rest = fileSize - offset;
    const size = rest < PART_BYTES ? rest : PART_BYTES;
    return { number: index + 1, offset, size, sha256: sha256.toString('base64') };
  });
}

// As S3 computes it.
function checksumOf({ partSha256, uploadId }: AttachmentRow): string {
  if (uploadId === null) return partSha256[0]?.toString('base64') ?? '';
  const composite = createHash('sha256').update(Buffer.concat(partSha256)).digest('base64');
  return `${composite}-${partSha256.length}`;
}
