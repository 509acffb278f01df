import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type S3Server, startS3 } from '../../scripts/lib/s3/server.ts';

export type TestStorage = {
  /** Settings of the service for this store. */
  readonly env: Readonly<Record<string, string>>;
  readonly bucket: string;
  /** Stops the store; undefined for one that was given. */
  readonly stop: (() => Promise<void>) | undefined;
  /** Starts it again with the same objects, at the same address. */
  readonly restart: () => Promise<void>;
  close(): Promise<void>;
};

const BUCKET = 'attachments';
const REGION = 'us-east-1';
const KEYS = { accessKeyId: 'test', secretAccessKey: 'test-secret-key' };

/** A store of its own, or with TEST_S3_ENDPOINT the given one, which other tests use as well. */
export async function freshStorage(): Promise<TestStorage> {
  const endpoint = process.env['TEST_S3_ENDPOINT'] ?? '';
  return endpoint === '' ? startOwn() : useGiven(endpoint);
}

function useGiven(endpoint: string): TestStorage {
  const bucket = process.env['TEST_S3_BUCKET'] ?? BUCKET;
  const env = {
    S3_ENDPOINT: endpoint,
    S3_BUCKET: bucket,
    S3_REGION: process.env['TEST_S3_REGION'] ?? REGION,
    S3_ACCESS_KEY_ID: process.env['TEST_S3_ACCESS_KEY_ID'] ?? '',
    S3_SECRET_ACCESS_KEY: process.env['TEST_S3_SECRET_ACCESS_KEY'] ?? '',
  };
  return { env, bucket, stop: undefined, restart: async () => {}, close: async () => {} };
}

async function startOwn(): Promise<TestStorage> {
  const folder = mkdtempSync(join(tmpdir(), 'discuss-s3-'));
  const start = (port: number) => startS3({ ...KEYS, region: REGION, bucket: BUCKET, folder, port });
  let server: S3Server = await start(0);
  const { url } = server;
  return {
    env: {
      S3_ENDPOINT: url,
      S3_BUCKET: BUCKET,
      S3_REGION: REGION,
      S3_ACCESS_KEY_ID: KEYS.accessKeyId,
      S3_SECRET_ACCESS_KEY: KEYS.secretAccessKey,
    },
    bucket: BUCKET,
    stop: () => server.close(),
    async restart() {
      server = await start(Number(new URL(url).port));
    },
    async close() {
      await server.close();
      rmSync(folder, { recursive: true });
    },
  };
}
