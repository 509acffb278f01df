import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

/**
 * Calls back with each command that a Redis server runs, as MONITOR reports it, until it is disposed. Not by ioredis, which
 * fails if a command comes with the reply to MONITOR.
 */
export async function monitorRedis(
  { host, port }: { readonly host: string; readonly port: number },
  onCommand: (line: string) => void,
): Promise<Disposable> {
  const socket = connect({ host, port });
  await once(socket, 'connect');
  socket.write('MONITOR\r\n');
  const lines = createInterface(socket);
  const [reply] = await once(lines, 'line');
  assert.equal(reply, '+OK');
  lines.on('line', onCommand);
  return { [Symbol.dispose]: () => socket.destroy() };
}
