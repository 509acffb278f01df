// A server that only holds streams and writes given bytes to all of them, on node:http2: the baseline for the cost of
// a stream and of a delivered event.
import { once } from 'node:events';
import http2, { type ServerHttp2Stream } from 'node:http2';
import { serveCommands } from '../../scripts/lib/child.ts';
import { usage } from '../lib/usage.ts';

export type BareCommands = typeof commands;

const server = http2.createServer();
const streams = new Set<ServerHttp2Stream>();

server.on('stream', (stream) => {
  stream.on('error', () => {});
  stream.on('close', () => streams.delete(stream));
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
  stream.write(Buffer.alloc(5));
  streams.add(stream);
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');

const commands = {
  ...usage,
  address() {
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return `127.0.0.1:${address.port}`;
  },
  /** Writes a frame (base64) to every stream. */
  write(frame: string) {
    const bytes = Buffer.from(frame, 'base64');
    for (const stream of streams) stream.write(bytes);
  },
};

process.once('SIGTERM', () => process.exit());
serveCommands(commands);
