// An S3 store with one bucket, and as many objects as the parent puts into it.
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { serveCommands } from '../../scripts/lib/child.ts';
import { lowerPriority } from '../../scripts/lib/priority.ts';
import { startS3 } from '../../scripts/lib/s3/server.ts';
import { ObjectStore } from '../../scripts/lib/s3/store.ts';
import { photoOf } from '../lib/photo.ts';

export type StoreCommands = typeof commands;

const KEYS = { accessKeyId: 'bench', secretAccessKey: 'bench-secret-key', region: 'us-east-1' };
const BUCKET = 'attachments';

const folder = process.env['STORE_FOLDER'] ?? '';
const server = await startS3({ ...KEYS, bucket: BUCKET, folder });
const store = new ObjectStore(folder);
// In production, the store is on another machine.
lowerPriority(process.pid);

const commands = {
  settings: () => ({
    S3_ENDPOINT: server.url,
    S3_BUCKET: BUCKET,
    S3_ACCESS_KEY_ID: KEYS.accessKeyId,
    S3_SECRET_ACCESS_KEY: KEYS.secretAccessKey,
  }),

  /** Stores random bytes. */
  async putBytes({ key, size }: { key: string; size: number }): Promise<void> {
    await put(key, 'application/octet-stream', randomBytes(size));
  },

  /** Stores a photo; returns its size. */
  async putPhoto({ key, width, height }: { key: string; width: number; height: number }): Promise<number> {
    const image = await photoOf(width, height);
    await put(key, 'image/jpeg', image);
    return image.length;
  },
};

async function put(key: string, type: string, bytes: Buffer): Promise<void> {
  await store.put(key, type, { stream: Readable.from([bytes]), sha256: [] });
}

process.once('SIGTERM', () => void server.close().finally(() => process.exit()));
serveCommands(commands);
