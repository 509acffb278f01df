import type { Socket } from 'node:net';
import type { Config } from '../../config.ts';
import type { ConnectionState } from '../connection-age-monitor.ts';
import { destroyAfter } from '../sockets.ts';

/** A connection of the web edge. */
export type Connection = ConnectionState & {
  /** To be called when the admission of a call begins, with its result. */
  admit(admitting: Promise<boolean>): void;
  /** To be called when the client resets a request. */
  countReset(isCallerKnown: boolean): void;
  /** Accepts no more calls; destroys the connection when its calls have not ended after the grace time. */
  close(): void;
};

/** HTTP/1.1 has no state of its own for a connection that is going to be closed. */
export class Http1Connection implements Connection {
  readonly #socket: Socket;
  readonly #graceMs: number;
  closed = false;

  constructor(socket: Socket, graceMs: number) {
    this.#socket = socket;
    this.#graceMs = graceMs;
  }

  admit(): void {}

  countReset(): void {}

  close(): void {
    this.closed = true;
    destroyAfter(this.#socket, this.#graceMs);
  }
}

/** Closes a connection at about the maximum age. */
export function closeAtMaximumAge(
  connection: Connection,
  socket: Socket,
  { connectionAgeMs }: Config['web'],
): void {
  if (connectionAgeMs === 0) return;
  // Spread, so that clients that connected together do not reconnect together.
  const timer = setTimeout(() => connection.close(), connectionAgeMs * (0.9 + 0.2 * Math.random()));
  socket.once('close', () => clearTimeout(timer));
}
