// The process in which images are decoded: a crash or a bomb of the decoder ends this process only.
import sharp, { type Sharp } from 'sharp';
import { lowerPriority } from './priority.ts';
import type { Thumbnail, ThumbnailRequest } from './thumbnails.ts';

const SIDE = 256;
const PREVIEW_SIDE = 16;
const MAX_PIXELS = 50_000_000;
const TIMEOUT_SECONDS = 10;

// Calls come first.
lowerPriority(10);
sharp.concurrency(1);
sharp.cache(false);

process.on('message', async (request: ThumbnailRequest) => {
  const thumbnail = await create(request.image).catch(() => null);
  process.send?.({ id: request.id, thumbnail });
});
process.once('disconnect', () => process.exit());

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
