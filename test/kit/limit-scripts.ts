import { Cluster } from 'ioredis';
import type { RedisClient } from '../../src/redis/client.ts';
import { monitorRedis } from './redis-monitor.ts';

/** Collects the keys of limits that scripts use, from now on and until it is disposed. */
export async function limitScripts(client: RedisClient) {
  const keys: string[] = [];
  const servers = client instanceof Cluster ? client.nodes('master') : [client];
  const monitors = new DisposableStack();
  const onCommand = (line: string) => {
    if (line.includes('"evalsha"')) keys.push(...(line.match(/limit:\{[^"]*/g) ?? []));
  };
  for (const { options } of servers) {
    const { host = '127.0.0.1', port = 0 } = options;
    monitors.use(await monitorRedis({ host, port }, onCommand));
  }
  return { keys, [Symbol.dispose]: () => monitors.dispose() };
}
