import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Readable } from 'node:stream';

/** `detail` is the name of the malware, or the error of clamd. */
export type Verdict = { readonly status: 'CLEAN' | 'INFECTED' | 'FAILED'; readonly detail: string };

/** clamd cannot be reached, or has closed the connection without a result. */
export class ScannerUnavailable extends Error {
  override name = 'ScannerUnavailable';
}

const MAX_REPLY_BYTES = 4_096;

/**
 * Streams a file to clamd (command INSTREAM) and returns its verdict. `address` is `host:port` or the path of a socket.
 * At most one chunk is in memory besides the buffers of both connections.
 */
export async function scan(address: string, file: Readable, signal: AbortSignal): Promise<Verdict> {
  const socket = await open(address, signal);
  const reply = readReply(socket);
  const stop = () => socket.destroy();
  signal.addEventListener('abort', stop, { once: true });
  try {
    await send(socket, file);
    const text = await reply;
    signal.throwIfAborted();
    return toVerdict(text);
  } finally {
    signal.removeEventListener('abort', stop);
    socket.destroy();
    file.destroy();
  }
}

async function open(address: string, signal: AbortSignal): Promise<Socket> {
  const [, host, port] = /^(.+):(\d+)$/.exec(address) ?? [];
  const socket = host === undefined ? connect(address) : connect(Number(port), host);
  try {
    await once(socket, 'connect', { signal });
    return socket;
  } catch (error) {
    socket.destroy();
    signal.throwIfAborted();
    throw new ScannerUnavailable('clamd cannot be reached', { cause: error });
  }
}

async function send(socket: Socket, file: Readable): Promise<void> {
  socket.write('zINSTREAM\0');
  for await (const chunk of file) {
    const bytes = Buffer.from(chunk);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    socket.write(length);
    // clamd closes the connection after an error, whose reply may have arrived.
    if (socket.destroyed || !socket.writable) return;
    if (!socket.write(bytes)) await drained(socket);
  }
  if (socket.writable) socket.write(Buffer.alloc(4));
}

function drained(socket: Socket): Promise<void> {
  return new Promise((done) => {
    const settle = () => {
      socket.off('drain', settle).off('close', settle);
      done();
    };
    socket.once('drain', settle).once('close', settle);
  });
}

function readReply(socket: Socket): Promise<string> {
  let text = '';
  return new Promise((done) => {
    socket.on('data', (data) => {
      text += data.toString().slice(0, MAX_REPLY_BYTES);
      if (text.includes('\0')) done(text);
    });
    // An error is followed by `close`; without a listener it would end the process.
    socket.on('error', () => {});
    socket.once('close', () => done(text));
  });
}

function toVerdict(text: string): Verdict {
  const reply = text.replace(/\0.*$/s, '').trim();
  if (reply === '') throw new ScannerUnavailable('clamd has closed the connection');
  if (reply === 'stream: OK') return { status: 'CLEAN', detail: '' };
  const [, name] = /^stream: (.+) FOUND$/.exec(reply) ?? [];
  return name === undefined ? { status: 'FAILED', detail: reply } : { status: 'INFECTED', detail: name };
}
