import {
  constants,
  type Http2Server,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import { hasPeer } from './sockets.ts';
import { type Connection, Lane, OTHERS, type Start, setRead, TRUSTED } from './stream-lane.ts';

// Waiting streams of a connection above which it is not read, and below which it is read again. Above as many in one turn, it
// is not read either: those that are reset at once do not wait any more.
const MAX_WAITING = 32;
const MIN_WAITING = 8;
// Waiting streams above which no connection opens.
const MAX_WAITING_TO_OPEN = 512;
// After a turn in which a connection that is not trusted sent more than MAX_WAITING streams: the time until the next one is
// opened or read again, in turns. A read of 64 KB of streams that are reset at once takes 60 ms.
const READ_PAUSE = 16;
// The same after a connection whose opening takes longer than this, with what it has already sent: 0.1 ms for one call, 1.4 ms
// for 64 KB of tiny headers.
const MAX_OPEN_MS = 1;
// For this time after such a turn, calls of these connections start only after a pause of so many times what the last ones took,
// so that the CPU is left to calls that are being served, to PostgreSQL, and to the garbage collector.
const FLOOD_MS = 1_000;
const FLOOD_PAUSE = 32;
// Connections that wait to open, then and otherwise. Each keeps up to 64 KB of what its client has sent.
const MAX_OPENING_IN_FLOOD = 64;
const MAX_OPENING = 1_024;

type Closed = (headers: IncomingHttpHeaders, session: Http2Session | undefined) => void;
/**
 * Streams that clients have opened and whose calls are not started yet. Calls start at once while a turn of the event loop
 * has time for them, and connection by connection otherwise, first on connections whose last call was admitted. A
 * connection with many waiting streams is not read until they have started, and others are opened one at a time, so a
 * client that opens thousands of streams waits, and those on other connections nearly not.
 */
export class StreamQueue {
  readonly #connections = new WeakMap<Http2Session, Connection>();
  readonly #trusted = new Lane(TRUSTED);
  readonly #others = new Lane(OTHERS);
  /** Connections that wait to open. */
  readonly #opening: { readonly socket: Socket; readonly open: () => void }[] = [];
  /** The one on which the last stream was opened. */
  #connection: Connection | undefined;
  /** Waiting streams of all connections. */
  #waiting = 0;
  /** Number of the turn, and when it began. */
  #turn = 0;
  #turnTime = 0;
  /** Whether a connection that is not trusted has sent more than MAX_WAITING streams in this turn. */
  #isFlooded = false;
  /** When the next such connection may be opened or read, when calls of all of them may start, and when they have no pauses again. */
  #readTime = 0;
  #startTime = 0;
  #floodEnd = 0;
  #timer: NodeJS.Timeout | undefined;
  #isScheduled = false;

  /**
   * Puts the queue before all listeners that a server has for its streams. Streams that close while they wait are not
   * started, but passed to `closed`, and nothing refers to them any more: garbage of streams that are reset at once is
   * collected when it is young, which takes a tenth of the time.
   */
  attach(server: Http2Server, closed: Closed = () => {}): void {
    const listeners = server.listeners('stream');
    server.removeAllListeners('stream');
    server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, ...rest: unknown[]) => {
      // Its own session is unknown if it was reset at once.
      const connection = this.#connection;
      const isClosed = () => stream.closed || stream.destroyed;
      stream.on('error', ignore);
      const start = (isRejected: boolean) => {
        if (isClosed()) closed(headers, connection?.session);
        else if (isRejected) stream.close(constants.NGHTTP2_REFUSED_STREAM);
        else {
          for (const listener of listeners) Reflect.apply(listener, server, [stream, headers, ...rest]);
          // An empty body may have ended while the stream waited, before these had listeners.
          if (stream.readableEnded) process.nextTick(() => stream.emit('end'));
        }
      };
      this.#schedule();
      if (connection === undefined) return start(false);
      const waits = !this.#hasTime(connection);
      if (waits || isClosed()) this.#countArrival(connection);
      if (!waits || isClosed()) return start(connection.isRejected);
      this.#add(connection, start);
      stream.once('close', () => {
        if (this.#delete(connection, start)) closed(headers, connection.session);
      });
    });
  }

  /**
   * Calls `open` when it is the turn of a new connection, which it then adds by `watch`. The newest is opened first, because
   * the clients of those that have waited for long may have gone.
   */
  open(socket: Socket, open: () => void): void {
    socket.on('error', ignore);
    const now = performance.now();
    const isFree =
      !this.#isScheduled &&
      this.#opening.length === 0 &&
      this.#others.unread.size === 0 &&
      now >= this.#readTime;
    if (isFree) this.#open(open);
    else this.#opening.push({ socket, open });
    const limit = now < this.#floodEnd ? MAX_OPENING_IN_FLOOD : MAX_OPENING;
    while (this.#opening.length > limit) this.#opening.shift()?.socket.destroy();
    this.#schedule();
  }

  watch(session: Http2Session, socket: Socket): void {
    const connection: Connection = {
      session,
      socket,
      waiting: new Set(),
      arrived: 0,
      turn: 0,
      isRead: true,
      afterRead: [],
      isRejected: false,
      isTrusted: false,
    };
    this.#connections.set(session, connection);
    // Before the listener that emits the event of the server.
    session.prependListener('stream', () => {
      this.#connection = connection;
    });
  }

  /** Whether the calls of a connection start before those of others: to be set when a call is admitted, rejected or reset. */
  trust(session: Http2Session, isTrusted: boolean): void {
    const connection = this.#connections.get(session);
    if (connection !== undefined) connection.isTrusted = isTrusted;
  }

  /** Calls back when the connection has been read again: after a stall of the process, or while it is not read. */
  afterRead(session: Http2Session, callback: () => void): void {
    const connection = this.#connections.get(session);
    if (connection === undefined || connection.isRead) setImmediate(callback);
    else connection.afterRead.push(callback);
  }

  /** Rejects the waiting streams of a connection, and those that it still opens, so that their clients can repeat them. */
  reject(session: Http2Session): void {
    const connection = this.#connections.get(session);
    if (connection !== undefined) connection.isRejected = true;
  }

  #hasTime(connection: Connection): boolean {
    const lane = this.#laneOf(connection);
    return lane.connections.size === 0 && lane.hasTime();
  }

  #countArrival(connection: Connection): void {
    connection.arrived = connection.turn === this.#turn ? connection.arrived + 1 : 1;
    connection.turn = this.#turn;
    if (connection.waiting.size < MAX_WAITING && connection.arrived <= MAX_WAITING) return;
    setRead(connection, false);
    this.#readAgain(connection);
    if (!connection.isTrusted) this.#isFlooded = true;
  }

  #add(connection: Connection, start: Start): void {
    connection.waiting.add(start);
    this.#waiting += 1;
    this.#laneOf(connection).connections.add(connection);
  }

  /** Returns whether the stream was waiting. */
  #delete(connection: Connection, start: Start): boolean {
    if (!connection.waiting.delete(start)) return false;
    this.#waiting -= 1;
    if (connection.waiting.size === 0)
      for (const lane of [this.#trusted, this.#others]) lane.connections.delete(connection);
    this.#readAgain(connection);
    return true;
  }

  /** When it is the turn of the connection, unless too many of its streams wait. */
  #readAgain(connection: Connection): void {
    if (connection.waiting.size < MIN_WAITING && !connection.isRead)
      this.#laneOf(connection).unread.add(connection);
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#turnTime = performance.now();
    this.#trusted.begin(this.#turnTime, 0);
    if (this.#turnTime >= this.#floodEnd) this.#others.begin(this.#turnTime, 0);
    setImmediate(() => void this.#nextTurn());
  }

  async #nextTurn(): Promise<void> {
    const now = performance.now();
    const turnMs = now - this.#turnTime;
    this.#turnTime = now;
    this.#turn += 1;
    this.#trusted.begin(now, turnMs);
    await this.#startSome(this.#trusted);
    if (now >= this.#startTime) await this.#startOthers(turnMs);
    this.#trusted.readNext();
    if (this.#isFlooded) {
      this.#readTime = now + turnMs * READ_PAUSE;
      this.#floodEnd = now + FLOOD_MS;
    }
    this.#isFlooded = false;
    if (now >= this.#readTime) {
      this.#others.readNext();
      if (this.#opens) this.#openNext();
    }
    this.#scheduleNext(now);
  }

  async #startOthers(turnMs: number): Promise<void> {
    const began = performance.now();
    this.#others.begin(began, turnMs);
    await this.#startSome(this.#others);
    const ended = performance.now();
    if (ended >= this.#floodEnd) return;
    this.#startTime = ended + FLOOD_PAUSE * (ended - began);
    this.#others.end();
  }

  #scheduleNext(now: number): void {
    const isTrustedDue = this.#trusted.connections.size > 0 || this.#trusted.unread.size > 0;
    const waitMs = Math.min(
      this.#others.connections.size > 0 ? this.#startTime - now : Number.POSITIVE_INFINITY,
      this.#others.unread.size > 0 || this.#opens ? this.#readTime - now : Number.POSITIVE_INFINITY,
    );
    this.#isScheduled = isTrustedDue || waitMs <= 0;
    clearTimeout(this.#timer);
    if (this.#isScheduled) setImmediate(() => void this.#nextTurn());
    else if (Number.isFinite(waitMs)) this.#timer = setTimeout(() => this.#schedule(), waitMs).unref();
  }

  /** Whether a connection is to be opened next. */
  get #opens(): boolean {
    return this.#opening.length > 0 && this.#waiting < MAX_WAITING_TO_OPEN;
  }

  /** At least one, so that none waits for ever. */
  async #startSome(lane: Lane): Promise<void> {
    for (const connection of lane.connections) {
      lane.connections.delete(connection);
      this.#startNext(connection);
      // What the call does until it waits for something takes time of this turn, too.
      await undefined;
      if (!lane.hasTime()) return;
    }
  }

  #startNext(connection: Connection): void {
    const [start] = connection.waiting;
    if (start === undefined) return;
    this.#delete(connection, start);
    start(connection.isRejected);
    if (connection.waiting.size > 0) this.#laneOf(connection).connections.add(connection);
  }

  #openNext(): void {
    for (let next = this.#opening.pop(); next !== undefined; next = this.#opening.pop()) {
      // Nothing else reports that the client of a connection whose buffer is full has gone.
      if (next.socket.destroyed || !hasPeer(next.socket)) {
        next.socket.destroy();
        continue;
      }
      this.#open(next.open);
      return;
    }
  }

  #open(open: () => void): void {
    const began = performance.now();
    open();
    // Queued behind the one of Node that reads what has already arrived.
    process.nextTick(() => {
      const ended = performance.now();
      if (ended - began > MAX_OPEN_MS)
        this.#readTime = Math.max(this.#readTime, ended + (ended - began) * READ_PAUSE);
    });
  }

  #laneOf({ isTrusted }: Connection): Lane {
    return isTrusted ? this.#trusted : this.#others;
  }
}

function ignore(): void {}
