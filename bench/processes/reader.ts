// Reads many streams at little cost: frames are counted, not decoded. A separate process, so that no figure includes
// the cost of reading.
import http2, { type ClientHttp2Session } from 'node:http2';
import { serveCommands } from '../../scripts/lib/child.ts';
import { type Counted, CountingStream } from '../lib/counting-stream.ts';
import { percentile } from '../lib/measure.ts';

export type ReaderCommands = typeof commands;

export type Opening = {
  readonly address: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Body of every request (base64). */
  readonly body: string;
  /** One stream per token. */
  readonly tokens: readonly string[];
  /** Default: events. */
  readonly counted?: Counted;
};

const STREAMS_PER_SESSION = 125;
const OPENING_AT_ONCE = 50;

const sets = new Map<number, CountingStream[]>();
const sessions = new Map<number, ClientHttp2Session[]>();

const commands = {
  /** Opens streams and waits for the first message of each; returns the number of this set. */
  async open(opening: Opening): Promise<number> {
    const set = sets.size + 1;
    const opened = Array.from({ length: Math.ceil(opening.tokens.length / STREAMS_PER_SESSION) }, () =>
      connect(opening.address),
    );
    sessions.set(set, opened);
    const streams: CountingStream[] = [];
    sets.set(set, streams);
    for (let from = 0; from < opening.tokens.length; from += OPENING_AT_ONCE) {
      const group = opening.tokens.slice(from, from + OPENING_AT_ONCE).map((token, place) => {
        const session = opened[Math.floor((from + place) / STREAMS_PER_SESSION)];
        if (session === undefined) throw new RangeError('no such session');
        return new CountingStream(session, opening, token);
      });
      streams.push(...group);
      await Promise.all(group.map(({ started }) => started));
    }
    return set;
  },

  /** Waits until every stream of a set has received this number of events since it was opened. */
  async waitFor({ set, events }: { set: number; events: number }): Promise<void> {
    await Promise.all(streamsOf(set).map((stream) => stream.waitFor(events)));
  },

  /** Number of events that all streams of a set have received together. */
  count(set: number): number {
    return streamsOf(set).reduce((sum, { events }) => sum + events, 0);
  },

  /** The last received frame of an event (base64). */
  lastEvent(set: number): string {
    return streamsOf(set)[0]?.lastEvent.toString('base64') ?? '';
  },

  /** Times from the start of a send to its delivery, ms, since the last call of this command. */
  latencies(ofSets: readonly number[]): { p50: number; p99: number } {
    const times = ofSets.flatMap((set) => streamsOf(set).flatMap((stream) => stream.takeLatencies()));
    return { p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
  },

  close(set: number): void {
    for (const session of sessions.get(set) ?? []) session.destroy();
    sessions.delete(set);
    sets.set(set, []);
  },
};

function streamsOf(set: number): readonly CountingStream[] {
  return sets.get(set) ?? [];
}

function connect(address: string): ClientHttp2Session {
  const session = http2.connect(`http://${address}`, { settings: { initialWindowSize: 1_048_576 } });
  session.on('connect', () => session.setLocalWindowSize(16_777_216));
  session.on('error', () => {});
  return session;
}

process.once('SIGTERM', () => process.exit());
serveCommands(commands);
