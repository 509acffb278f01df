import type { AttachmentJson } from '@serp/discuss-client/gen/serp/discuss/v1/attachment_pb';
import type { UploadPartJson } from '@serp/discuss-client/gen/serp/discuss/v1/attachment_service_pb';
import type { Chat } from './chat.ts';

const PART_BYTES = 16 << 20;

/** Uploads a file to the store of the service, and reports the share that has arrived. */
export async function uploadFile(
  chat: Chat,
  channelId: string,
  file: File,
  onProgress: (share: number) => void,
  signal: AbortSignal,
): Promise<AttachmentJson> {
  const { attachment, parts = [] } = await chat.transport.unary(
    'AttachmentService/CreateUpload',
    {
      channelId,
      fileName: file.name,
      size: `${file.size}`,
      contentType: /^[a-z0-9]+\/[a-z0-9.+_-]+$/.test(file.type) ? file.type : '',
      partSha256: await checksums(file),
      requestId: crypto.randomUUID(),
    },
    { signal },
  );
  for (const part of parts) await put(part, file, (bytes) => onProgress(bytes / file.size), signal);
  const request = { channelId, attachmentId: attachment?.id ?? '0' };
  const completed = await chat.transport.unary('AttachmentService/CompleteUpload', request, { signal });
  if (completed.attachment === undefined) throw new Error('The service returned no file.');
  return completed.attachment;
}

async function checksums(file: File): Promise<string[]> {
  const sums: string[] = [];
  for (let at = 0; at < file.size; at += PART_BYTES) {
    const bytes = await file.slice(at, at + PART_BYTES).arrayBuffer();
    const digest = await crypto.subtle.digest('SHA-256', bytes);
    sums.push(btoa(String.fromCharCode(...new Uint8Array(digest))));
  }
  return sums;
}

/** By XMLHttpRequest, because fetch does not report the progress of uploads. */
function put(
  part: UploadPartJson,
  file: File,
  onProgress: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const start = Number(part.offset ?? 0);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('PUT', part.url ?? '');
    for (const [name, value] of Object.entries(part.headers ?? {})) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded }) => onProgress(start + loaded);
    request.onload = () => (request.status === 200 ? resolve() : reject(new Error(`HTTP ${request.status}`)));
    request.onerror = () => reject(new Error('network'));
    request.onabort = () => reject(new Error('cancelled'));
    signal.addEventListener('abort', () => request.abort());
    request.send(file.slice(start, start + Number(part.size ?? 0)));
  });
}
