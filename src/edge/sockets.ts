import type { Socket } from 'node:net';

export function destroyAfter(socket: Socket, ms: number): void {
  const timer = setTimeout(() => socket.destroy(), ms);
  socket.once('close', () => clearTimeout(timer));
}

/**
 * Stops reading from a socket that an HTTP/2 session reads, or continues. The session reads from the socket's handle, a
 * private field, so that the socket's own methods have no effect. Without the field, the socket is read all the time.
 */
export function setReading(socket: Socket, isRead: boolean): void {
  callHandle(socket, isRead ? 'readStart' : 'readStop');
}

/** Whether the client has not reset the connection: a socket keeps the address that it had before. */
export function hasPeer(socket: Socket): boolean {
  const error = callHandle(socket, 'getpeername', {});
  return error === undefined ? socket.remoteAddress !== undefined : error === 0;
}

/** Undefined without the private field or its method. */
function callHandle(socket: Socket, name: string, ...parameters: readonly unknown[]): unknown {
  const handle: unknown = Reflect.get(socket, '_handle');
  if (typeof handle !== 'object' || handle === null) return undefined;
  const method: unknown = Reflect.get(handle, name);
  return typeof method === 'function' ? Reflect.apply(method, handle, parameters) : undefined;
}
