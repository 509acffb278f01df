import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Readable } from 'node:stream';

/** `detail` is the name of the malware, or the error of clamd. */
export type Verdict = { readonly status: 'CLEAN' | 'INFECTED' | 'FAILED'; readonly detail: string };

/** clamd cannot be reached, or does not respond. */
export class ScannerUnavailable extends Error {
  override name = 'ScannerUnavailable';
}

/** clamd has closed the connection without a result: it has ended, or the file ends it. */
export class ScanInterrupted extends ScannerUnavailable {
  override name = 'ScanInterrupted';
}

const MAX_REPLY_BYTES = 4_096;

export type File = {
  /** Called when clamd is there, so that no file is fetched in vain. */
  readonly open: () => Promise<Readable>;
  /** Called for each chunk. */
  readonly inspect: (chunk: Buffer) => void;
};

/**
 * Streams a file to clamd (command INSTREAM) and returns its verdict. `address` is `host:port` or the path of a socket.
 * At most one chunk is in memory besides the buffers of both connections. A file that clamd has received, and does not
 * finish before the signal's timeout, has failed; other timeouts are thrown.
 */
export async function scan(address: string, { open, inspect }: File, signal: AbortSignal): Promise<Verdict> {
  // A proxy may accept connections while clamd is down, which must not appear as a file that ends clamd.
  await ping(address, signal);
  const socket = await connectTo(address, signal);
  const reply = readReply(socket);
  let file: Readable | undefined;
  const stop = () => {
    socket.destroy();
    file?.destroy();
  };
  signal.addEventListener('abort', stop, { once: true });
  try {
    file = await open();
    const isSent = await send(socket, file, inspect);
    const text = await reply;
    if (isSent && isTimeout(signal)) return { status: 'FAILED', detail: 'clamd did not finish in time' };
    signal.throwIfAborted();
    return toVerdict(text);
  } finally {
    signal.removeEventListener('abort', stop);
    stop();
  }
}

async function ping(address: string, signal: AbortSignal): Promise<void> {
  const socket = await connectTo(address, signal);
  const stop = () => socket.destroy();
  signal.addEventListener('abort', stop, { once: true });
  try {
    socket.write('zPING\0');
    const reply = await readReply(socket);
    signal.throwIfAborted();
    if (!reply.startsWith('PONG')) throw new ScannerUnavailable('clamd does not respond');
  } finally {
    signal.removeEventListener('abort', stop);
    stop();
  }
}

async function connectTo(address: string, signal: AbortSignal): Promise<Socket> {
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

/** Returns false if clamd has closed the connection before the end. */
async function send(socket: Socket, file: Readable, inspect: (chunk: Buffer) => void): Promise<boolean> {
  socket.write('zINSTREAM\0');
  for await (const chunk of file) {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk);
    inspect(bytes);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    // One system call for both writes.
    socket.cork();
    socket.write(length);
    // clamd closes the connection after an error, whose reply may have arrived.
    if (socket.destroyed || !socket.writable) return false;
    const isBelowMark = socket.write(bytes);
    socket.uncork();
    if (!isBelowMark) await drained(socket);
  }
  if (!socket.writable) return false;
  socket.write(Buffer.alloc(4));
  return true;
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

function isTimeout({ reason }: AbortSignal): boolean {
  return reason instanceof DOMException && reason.name === 'TimeoutError';
}

function toVerdict(text: string): Verdict {
  const reply = text.replace(/\0.*$/s, '').trim();
  if (reply === '') throw new ScanInterrupted('clamd has closed the connection');
  if (reply === 'stream: OK') return { status: 'CLEAN', detail: '' };
  const [, name] = /^stream: (.+) FOUND$/.exec(reply) ?? [];
  return name === undefined ? { status: 'FAILED', detail: reply } : { status: 'INFECTED', detail: name };
}
