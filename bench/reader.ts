// Reads many streams as cheaply as it can: whole frames are counted, not decoded. A process of its own, so that
// what reading costs is in nobody's figures.
import http2, { type ClientHttp2Session } from 'node:http2';
import { serveCommands } from './lib/child.ts';
import { type Counted, TenantStream } from './lib/feed.ts';
import { percentile } from './lib/measure.ts';

export type ReaderCommands = typeof commands;

export type Opening = {
  readonly address: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Body of every request, in base64. */
  readonly body: string;
  /** One stream for each. */
  readonly tokens: readonly string[];
  /** Events when unset. */
  readonly counted?: Counted;
};

const STREAMS_PER_SESSION = 125;
const OPENING_AT_ONCE = 50;

const sets = new Map<number, TenantStream[]>();
const sessions = new Map<number, ClientHttp2Session[]>();

const commands = {
  /** Opens streams and waits for the first message of each; answers a number for them. */
  async open(opening: Opening): Promise<number> {
    const set = sets.size + 1;
    const opened = Array.from({ length: Math.ceil(opening.tokens.length / STREAMS_PER_SESSION) }, () =>
      connect(opening.address),
    );
    sessions.set(set, opened);
    const feeds: TenantStream[] = [];
    sets.set(set, feeds);
    for (let from = 0; from < opening.tokens.length; from += OPENING_AT_ONCE) {
      const group = opening.tokens.slice(from, from + OPENING_AT_ONCE).map((token, place) => {
        const session = opened[Math.floor((from + place) / STREAMS_PER_SESSION)];
        if (session === undefined) throw new RangeError('no such session');
        return new TenantStream(session, opening, token);
      });
      feeds.push(...group);
      await Promise.all(group.map(({ started }) => started));
    }
    return set;
  },

  /** Waits until every stream of a set has had so many events in all. */
  async waitFor({ set, events }: { set: number; events: number }): Promise<void> {
    await Promise.all(feedsOf(set).map((feed) => feed.waitFor(events)));
  },

  /** How many events all streams of a set have had together. */
  count(set: number): number {
    return feedsOf(set).reduce((sum, { events }) => sum + events, 0);
  },

  /** The last event that came, in base64, as it came. */
  lastEvent(set: number): string {
    return feedsOf(set)[0]?.lastEvent.toString('base64') ?? '';
  },

  /** Times from the start of a send to the arrival, ms, since they were last asked for. */
  latencies(ofSets: readonly number[]): { p50: number; p99: number } {
    const times = ofSets.flatMap((set) => feedsOf(set).flatMap((feed) => feed.takeLatencies()));
    return { p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
  },

  close(set: number): void {
    for (const session of sessions.get(set) ?? []) session.destroy();
    sessions.delete(set);
    sets.set(set, []);
  },
};

function feedsOf(set: number): readonly TenantStream[] {
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
