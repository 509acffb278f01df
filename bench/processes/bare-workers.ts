// Scans files from memory and creates thumbnails, without service and store: what clamd and sharp alone cost others.
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import { serveCommands } from '../../scripts/lib/child.ts';
import { lowerPriority } from '../../scripts/lib/priority.ts';
import { scan } from '../../src/attachment/clamd.ts';
import { photoOf } from '../lib/photo.ts';

export type BareWorkerCommands = typeof commands;

type Load = { address: string; fileBytes: number; width: number; height: number; pauseMs: number };

const CHUNK = 65_536;

sharp.concurrency(1);
sharp.cache(false);
lowerPriority(process.pid);

let isStopped = false;
let running: Promise<number[]> = Promise.resolve([]);
let scans = 0;

const commands = {
  async start(load: Load): Promise<void> {
    const file = randomBytes(load.fileBytes);
    const photo = await photoOf(load.width, load.height);
    isStopped = false;
    scans = 0;
    running = Promise.all([work(load, [photo, photo]), work(load, [photo, file, photo, file])]);
  },

  /** Returns the number of scans. */
  async stop(): Promise<number> {
    isStopped = true;
    await running;
    return scans;
  },
};

/** Scans files again and again, two photos and then a pause, as the service does. */
async function work({ address, pauseMs }: Load, files: readonly Buffer[]): Promise<number> {
  while (!isStopped) {
    for (const bytes of files) {
      await scanBytes(address, bytes);
      scans += 1;
      if (bytes.subarray(0, 2).toString('hex') === 'ffd8')
        await sharp(bytes).resize(256, 256).webp().toBuffer();
    }
    await sleep(pauseMs);
  }
  return scans;
}

async function scanBytes(address: string, bytes: Buffer): Promise<void> {
  const chunks = Array.from({ length: Math.ceil(bytes.length / CHUNK) }, (_, index) =>
    bytes.subarray(index * CHUNK, (index + 1) * CHUNK),
  );
  const file = { open: async () => Readable.from(chunks), inspect() {} };
  await scan(address, file, AbortSignal.timeout(120_000));
}

process.once('SIGTERM', () => process.exit());
serveCommands(commands);
