// The process in which files are decoded: a crash or a bomb of the decoder ends this process only.
import sharp from 'sharp';
import { download } from './download.ts';
import { readDuration } from './duration.ts';
import type { MediaReply, MediaRequest } from './media.ts';
import { lowerPriority } from './priority.ts';
import { createThumbnail } from './thumbnail.ts';
import { serveRequests } from './worker-process.ts';

const READ_MS = 25_000;

// Calls come first.
lowerPriority(10);
sharp.concurrency(1);
sharp.cache(false);

serveRequests<MediaRequest, MediaReply>((request) =>
  decode(request).catch((error) => ({ failure: `${error}` })),
);

/** Throws if the store fails. */
async function decode(request: MediaRequest): Promise<MediaReply> {
  const signal = AbortSignal.timeout(READ_MS);
  if (request.kind === 'MEDIA') return { durationMs: await readDuration(request, signal) };
  const image = await readImage(request, signal);
  return { thumbnail: await createThumbnail(image).catch(() => undefined) };
}

async function readImage({ url, size }: MediaRequest, signal: AbortSignal): Promise<Uint8Array> {
  const image = Buffer.allocUnsafe(size);
  let length = 0;
  for await (const chunk of await download(url, READ_MS, signal)) {
    if (length + chunk.length <= size) image.set(chunk, length);
    length += chunk.length;
  }
  if (length !== size) throw new Error('the object has another size');
  return image;
}
