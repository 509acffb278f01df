import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { chooseStackPort, DEV_FOLDER, storedSecret } from './dev-state.ts';
import { startS3 } from './s3/server.ts';

const S3_PORT = 19_000;
const BUCKET = 'attachments';
const REGION = 'us-east-1';
const ACCESS_KEY_ID = 'dev';

export interface DevStorage {
  /** Settings of the service. */
  readonly env: Readonly<Record<string, string>>;
  readonly endpoint: string;
  stop(): Promise<void>;
}

/** The S3 store of S3_ENDPOINT, else one of this stack below `.dev/`. */
export async function openStorage(): Promise<DevStorage> {
  const given = process.env['S3_ENDPOINT'] ?? '';
  if (given !== '') {
    const names = ['S3_ENDPOINT', 'S3_BUCKET', 'S3_REGION', 'S3_ACCESS_KEY_ID', 'S3_SECRET_ACCESS_KEY'];
    const env = Object.fromEntries(names.map((name) => [name, process.env[name] ?? '']));
    return { env: { ...env, S3_BUCKET: env['S3_BUCKET'] || BUCKET }, endpoint: given, stop: async () => {} };
  }
  const port = await chooseStackPort('s3', S3_PORT);
  const secretAccessKey = storedSecret('s3-secret', () => randomBytes(24).toString('base64url'));
  const credentials = { accessKeyId: ACCESS_KEY_ID, secretAccessKey, region: REGION };
  const server = await startS3({ ...credentials, bucket: BUCKET, folder: join(DEV_FOLDER, 's3'), port });
  const env = {
    S3_ENDPOINT: server.url,
    S3_BUCKET: BUCKET,
    S3_REGION: REGION,
    S3_ACCESS_KEY_ID: ACCESS_KEY_ID,
    S3_SECRET_ACCESS_KEY: secretAccessKey,
  };
  return { env, endpoint: server.url, stop: () => server.close() };
}
