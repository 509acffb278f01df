import type { Http2Session } from 'node:http2';
import type { Socket } from 'node:net';
import { setReading } from './sockets.ts';

// Times for starting calls in a turn of the event loop: at least `minMs`, and a part of a turn that takes longer for other
// reasons, so that waiting calls start on a busy machine, too. A call takes 0.1 to 0.3 ms before it waits for something, and
// as long again later in the turn.
export const TRUSTED = { minMs: 1, part: 1 / 8 };
export const OTHERS = { minMs: 0.5, part: 1 / 8 };

/** Starts a stream that waits, or rejects it. */
export type Start = (isRejected: boolean) => void;

/** A connection and its streams that wait. */
export type Connection = {
  readonly session: Http2Session;
  readonly socket: Socket;
  readonly waiting: Set<Start>;
  /** Streams of the turn that had to wait, or were reset at once. */
  arrived: number;
  turn: number;
  isRead: boolean;
  readonly afterRead: (() => void)[];
  isRejected: boolean;
  isTrusted: boolean;
};

/** Connections whose calls start in turn, and the time for starting them. */
export class Lane {
  /** Those with waiting streams, in the order of their turns. */
  readonly connections = new Set<Connection>();
  /** Those to be read again, in the order of their turns. */
  readonly unread = new Set<Connection>();
  readonly #limit: typeof TRUSTED;
  #endTime = 0;

  constructor(limit: typeof TRUSTED) {
    this.#limit = limit;
  }

  /** Begins a turn. `turnMs`: the time that the turn before took. */
  begin(now: number, turnMs: number): void {
    this.#endTime = now + Math.max(this.#limit.minMs, turnMs * this.#limit.part);
  }

  /** No more calls start until the next turn begins. */
  end(): void {
    this.#endTime = 0;
  }

  hasTime(): boolean {
    return performance.now() < this.#endTime;
  }

  /** Reads one again, because what its client has sent can take most of a turn. */
  readNext(): void {
    const [connection] = this.unread;
    if (connection === undefined) return;
    this.unread.delete(connection);
    setRead(connection, true);
  }
}

/** Continues to read what the client sends, or stops. */
export function setRead(connection: Connection, isRead: boolean): void {
  if (connection.isRead === isRead) return;
  connection.isRead = isRead;
  setReading(connection.socket, isRead);
  if (isRead) for (const callback of connection.afterRead.splice(0)) setImmediate(callback);
}
