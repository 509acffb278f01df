import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { Cluster, type RedisOptions } from 'ioredis';
import type { RedisClient } from '../../src/redis/client.ts';

/** Collects the keys of limits that scripts use, from now on and until it is disposed. */
export async function limitScripts(client: RedisClient) {
  const keys: string[] = [];
  const servers = client instanceof Cluster ? client.nodes('master') : [client];
  const monitors = new DisposableStack();
  for (const { options } of servers)
    monitors.use(await monitor(options, (line) => keys.push(...(line.match(/limit:\{[^"]*/g) ?? []))));
  return { keys, [Symbol.dispose]: () => monitors.dispose() };
}

/** Calls back for each script that Redis runs. Not by ioredis, which fails if a command comes with the reply to MONITOR. */
async function monitor({ host, port = 0 }: RedisOptions, onScript: (line: string) => void) {
  const socket = connect({ host, port });
  await once(socket, 'connect');
  socket.write('MONITOR\r\n');
  const lines = createInterface(socket);
  const [reply] = await once(lines, 'line');
  assert.equal(reply, '+OK');
  lines.on('line', (line) => {
    if (line.includes('"evalsha"')) onScript(line);
  });
  return { [Symbol.dispose]: () => socket.destroy() };
}
