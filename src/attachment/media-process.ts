// The process in which files are decoded: a crash or a bomb of the decoder ends this process only.
import sharp from 'sharp';
import { downloadBytes } from './download.ts';
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
  const image = await downloadBytes(request.url, request.size, { signal });
  return { thumbnail: await createThumbnail(image).catch(() => undefined) };
}
