import sharp, { type Sharp } from 'sharp';
import type { Thumbnail } from './media.ts';

const SIDE = 256;
const PREVIEW_SIDE = 16;
const MAX_PIXELS = 50_000_000;
const TIMEOUT_SECONDS = 10;

/** Rejects an image that cannot be decoded, or that has too many pixels. */
export async function createThumbnail(image: Uint8Array): Promise<Thumbnail> {
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
