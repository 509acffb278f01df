import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { Client } from '@connectrpc/connect';
import { type Attachment, ScanStatus } from '#gen/serp/discuss/v1/attachment_pb.ts';
import type { AttachmentService, UploadPart } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { until } from './until.ts';

type Attachments = Client<typeof AttachmentService>;

export const PART_BYTES = 16 << 20;

/** A PNG image of 1 by 1 pixel. */
export const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);

export function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

/** The checksums of a file's parts. */
export function partSha256(bytes: Buffer): Buffer[] {
  const count = Math.ceil(bytes.length / PART_BYTES);
  return Array.from({ length: count }, (_, index) =>
    sha256(bytes.subarray(index * PART_BYTES, (index + 1) * PART_BYTES)),
  );
}

/** A request for a file of these bytes. */
export function uploadOf(channelId: bigint, fileName: string, bytes: Buffer, contentType = '') {
  return {
    channelId,
    fileName,
    size: BigInt(bytes.length),
    contentType,
    partSha256: partSha256(bytes),
    requestId: crypto.randomUUID(),
  };
}

/** Sends a part with plain HTTP, as a browser does. */
export async function putPart(
  part: UploadPart | undefined,
  bytes: Buffer,
  changes: Readonly<Record<string, string>> = {},
): Promise<Response> {
  assert.ok(part);
  const body = new Uint8Array(bytes);
  const headers = new Headers(part.headers);
  for (const [name, value] of Object.entries(changes)) headers.set(name, value);
  return fetch(part.url, { method: 'PUT', headers, body });
}

/** Uploads a file and completes it. */
export async function upload(
  client: Attachments,
  channelId: bigint,
  fileName: string,
  bytes: Buffer,
  contentType = '',
): Promise<Attachment> {
  const { attachment, parts } = await client.createUpload(uploadOf(channelId, fileName, bytes, contentType));
  for (const part of parts) {
    const offset = Number(part.offset);
    const response = await putPart(part, bytes.subarray(offset, offset + Number(part.size)));
    assert.equal(response.status, 200, await response.text());
  }
  const completed = await client.completeUpload({ channelId, attachmentId: attachment?.id ?? 0n });
  assert.ok(completed.attachment);
  return completed.attachment;
}

/** Uploads a file, and returns it when its scan has found no malware. */
export async function uploadClean(
  client: Attachments,
  channelId: bigint,
  fileName: string,
  bytes: Buffer,
  contentType = '',
): Promise<Attachment | undefined> {
  const { id } = await upload(client, channelId, fileName, bytes, contentType);
  const get = async () => (await client.getAttachment({ channelId, attachmentId: id })).attachment;
  await until(async () => (await get())?.scanStatus === ScanStatus.CLEAN, `the scan of ${fileName}`);
  return get();
}
