import { once } from 'node:events';
import { createServer } from 'node:http';
import sharp from 'sharp';
import { MediaProcess } from '../../src/attachment/media.ts';
import { type Benchmark, ratioAtMost } from '../lib/benchmark.ts';
import { compare, type Measurement, p50 } from '../lib/measure.ts';
import { photoOf } from '../lib/photo.ts';

const IMAGES = 10;
const SIDE = 256;

/** Time for thumbnail and preview of a photo of 12 megapixels, over that of a thumbnail with sharp in this process. */
export const thumbnailMs: Benchmark = {
  name: 'thumbnail_ms',
  subject: 'attachment',
  isHeadline: false,
  goals: { thumbnail_ms: ratioAtMost(1.5) },
  run,
};

async function run(): Promise<Measurement[]> {
  const photo = await photoOf(4_000, 3_000);
  const server = createServer((_, response) => void response.end(photo)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/`;
  // As the process of the service.
  sharp.concurrency(1);
  sharp.cache(false);
  const media = new MediaProcess();
  try {
    const create = async () => {
      if ((await media.createThumbnail(url, photo.length)) === undefined)
        throw new Error('there is no thumbnail');
    };
    const bare = () =>
      sharp(photo).autoOrient().resize(SIDE, SIDE, { fit: 'inside' }).webp({ quality: 75 }).toBuffer();
    await create();
    return [
      await compare(
        'thumbnail_ms',
        'ms',
        () => p50(IMAGES, create),
        () => p50(IMAGES, bare),
      ),
    ];
  } finally {
    media.close();
    server.close();
  }
}
