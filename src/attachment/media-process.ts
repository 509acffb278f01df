// The process in which images are decoded: a crash or a bomb of the decoder ends this process only.
import sharp, { type Sharp } from 'sharp';
import type { ImageReply, ImageRequest, Thumbnail } from './media.ts';
import { lowerPriority } from './priority.ts';

const SIDE = 256;
const PREVIEW_SIDE = 16;
const MAX_PIXELS = 50_000_000;
const TIMEOUT_SECONDS = 10;
const READ_MS = 25_000;

// Calls come first.
lowerPriority(10);
sharp.concurrency(1);
sharp.cache(false);

process.on('message', async (request: ImageRequest) => {
  const reply: Omit<ImageReply, 'id'> = await read(request).then(
    async (image) => ({ thumbnail: await create(image).catch(() => undefined) }),
    (error) => ({ failure: `${error}` }),
  );
  process.send?.({ id: request.id, ...reply });
});
process.once('disconnect', () => process.exit());

async function read({ url, size }: ImageRequest): Promise<Uint8Array> {
  const response = await fetch(url, { signal: AbortSignal.timeout(READ_MS), redirect: 'error' });
  if (!response.ok) throw new Error(`the store responded with ${response.status}`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (bytes.length !== size) throw new Error('the object has another size');
  return bytes;
}

async function create(image: Uint8Array): Promise<Thumbnail> {
  const open = () => sharp(image, { limitInputPixels: MAX_PIXELS, pages: 1, failOn: 'error' });
  const { autoOrient } = await open().metadata();
  const thumbnail = await shrink(open().autoOrient(), SIDE, 75);
  // From the thumbnail, because decoding a photo takes most of the time.
  const preview = await shrink(sharp(thumbnail), PREVIEW_SIDE, 30);
  return { width: autoOrient.width, height: autoOrient.height, thumbnail, preview };
}

function shrink(image: Sharp, side: number, quality: number): Promise<Buffer> {
  return image
    .timeout({ seconds: TIMEOUT_SECONDS })
    .resize(side, side, { fit: 'inside', withoutEnlargement: true })
    .webp({ quality })
    .toBuffer();
}
