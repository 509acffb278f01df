import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export const PREFACE = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0)]);

const HEADERS = 1;
const CONTINUATION = 9;
export const END_STREAM = 1;
export const END_HEADERS = 4;

/** A TCP connection that ignores errors and, unless read, what it receives. */
export async function openSocket(address: string, localAddress = '127.0.0.1'): Promise<Socket> {
  const [host = '', port] = address.split(':');
  const socket = connect({ host, port: Number(port), localAddress });
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

export function headersFrame(streamId: number, fields: Record<string, string>, flags: number): Buffer {
  return frame(HEADERS, flags, streamId, headerBlock(fields));
}

export function continuationFrame(streamId: number, fields: Record<string, string>): Buffer {
  return frame(CONTINUATION, 0, streamId, headerBlock(fields));
}

function frame(type: number, flags: number, streamId: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

/** Header fields without compression: literals that are not indexed (RFC 7541, section 6.2.2). */
function headerBlock(fields: Record<string, string>): Buffer {
  return Buffer.concat(
    Object.entries(fields).flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]),
  );
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128);
  return Buffer.concat([Buffer.from([...length, rest]), bytes]);
}
