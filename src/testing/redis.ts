import { Redis as Client } from 'ioredis';
import { freePort } from '../../scripts/lib/processes.ts';
import { startRedis } from '../../scripts/lib/redis.ts';

export interface FreshRedis {
  readonly url: string;
  /** Takes Redis away; what it held is lost. */
  stop(): Promise<void>;
  /** Brings it back, empty, at the same address. */
  start(): Promise<void>;
  close(): Promise<void>;
}

/** A Redis of its own: neither keys nor pub/sub are shared with other test files. */
export async function freshRedis(): Promise<FreshRedis> {
  const given = process.env['TEST_REDIS_URL'] ?? '';
  if (given !== '') return givenRedis(given);
  const port = await freePort();
  let server: Awaited<ReturnType<typeof startRedis>> | undefined;
  const stop = async () => {
    await server?.stop();
    server = undefined;
  };
  const start = async () => {
    server ??= await startRedis({ port, durable: false });
  };
  await start();
  return { url: server?.url ?? '', stop, start, close: stop };
}

async function givenRedis(url: string): Promise<FreshRedis> {
  const client = new Client(url);
  await client.flushdb();
  client.disconnect();
  const refuse = async () => {
    throw new Error('the Redis of TEST_REDIS_URL is not ours to stop; unset it to run this test');
  };
  return { url, stop: refuse, start: refuse, close: async () => {} };
}
