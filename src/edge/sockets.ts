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
  const handle: unknown = Reflect.get(socket, '_handle');
  if (typeof handle !== 'object' || handle === null) return;
  const method: unknown = Reflect.get(handle, isRead ? 'readStart' : 'readStop');
  if (typeof method === 'function') Reflect.apply(method, handle, []);
}
