import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3';
import { startS3 } from '../../scripts/lib/s3/server.ts';
import { FaultProxy } from './fault-proxy.ts';

export type TestStorage = {
  /** Settings of the service for this store. */
  readonly env: Readonly<Record<string, string>>;
  /** Stands between the store and all its clients; undefined for a store that is reached over TLS. */
  readonly proxy: FaultProxy | undefined;
  close(): Promise<void>;
};

const BUCKET = 'attachments';
const REGION = 'us-east-1';

/** Whether tests can make the store fail. */
export const canFail = !(process.env['TEST_S3_ENDPOINT'] ?? '').startsWith('https:');

/** A store of its own, or with TEST_S3_ENDPOINT a bucket of its own in the given one. */
export async function freshStorage(): Promise<TestStorage> {
  const endpoint = process.env['TEST_S3_ENDPOINT'] ?? '';
  return endpoint === '' ? startOwn() : useGiven(endpoint);
}

async function startOwn(): Promise<TestStorage> {
  const folder = mkdtempSync(join(tmpdir(), 'discuss-s3-'));
  const keys = { accessKeyId: 'test', secretAccessKey: 'test-secret-key' };
  const server = await startS3({ ...keys, region: REGION, bucket: BUCKET, folder });
  const proxy = await FaultProxy.open(Number(new URL(server.url).port), false);
  return {
    env: toEnv(`http://127.0.0.1:${proxy.port}`, BUCKET, REGION, keys),
    proxy,
    async close() {
      await proxy.close();
      await server.close();
      rmSync(folder, { recursive: true });
    },
  };
}

async function useGiven(endpoint: string): Promise<TestStorage> {
  const { protocol, hostname, port } = new URL(endpoint);
  const isPlain = protocol === 'http:';
  const proxy = isPlain ? await FaultProxy.open(Number(port || 80), false, hostname) : undefined;
  const region = process.env['TEST_S3_REGION'] ?? REGION;
  const credentials = {
    accessKeyId: process.env['TEST_S3_ACCESS_KEY_ID'] ?? '',
    secretAccessKey: process.env['TEST_S3_SECRET_ACCESS_KEY'] ?? '',
  };
  const bucket = `discuss-test-${randomUUID()}`;
  const client = new S3Client({ region, endpoint, forcePathStyle: true, credentials });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  return {
    env: toEnv(
      proxy === undefined ? endpoint : `http://127.0.0.1:${proxy.port}`,
      bucket,
      region,
      credentials,
    ),
    proxy,
    async close() {
      await proxy?.close();
      await removeBucket(client, bucket);
      client.destroy();
    },
  };
}

function toEnv(
  endpoint: string,
  bucket: string,
  region: string,
  keys: { readonly accessKeyId: string; readonly secretAccessKey: string },
): Record<string, string> {
  return {
    S3_ENDPOINT: endpoint,
    S3_BUCKET: bucket,
    S3_REGION: region,
    S3_ACCESS_KEY_ID: keys.accessKeyId,
    S3_SECRET_ACCESS_KEY: keys.secretAccessKey,
  };
}

async function removeBucket(client: S3Client, bucket: string): Promise<void> {
  for (;;) {
    const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
    if (Contents.length === 0) break;
    for (const { Key } of Contents) await client.send(new DeleteObjectCommand({ Bucket: bucket, Key }));
  }
  await client.send(new DeleteBucketCommand({ Bucket: bucket }));
}
