import type { Delivery, Listener } from './listener.ts';
import type { Sent, Speaker } from './speaker.ts';

/** What one subscriber got, held against the channel's history. */
export type Account = {
  readonly listener: Listener;
  readonly missing: number;
  readonly duplicates: number;
  readonly gaps: number;
  readonly outOfOrder: number;
};

/** Compares what a subscriber got with the history, oldest first. */
export function account(listener: Listener, history: readonly bigint[]): Account {
  const places = new Map(history.map((messageId, place) => [messageId, place]));
  const got = new Set<bigint>();
  let outOfOrder = 0;
  let last = -1;
  for (const { messageId } of listener.deliveries) {
    const place = places.get(messageId) ?? -1;
    if (place < last) outOfOrder += 1;
    last = Math.max(last, place);
    got.add(messageId);
  }
  return {
    listener,
    missing: history.filter((messageId) => !got.has(messageId)).length,
    duplicates: Math.max(listener.duplicates, listener.deliveries.length - got.size),
    gaps: listener.gaps + listener.resets,
    outOfOrder,
  };
}

export function isClean({ missing, duplicates, gaps, outOfOrder }: Account): boolean {
  return missing + duplicates + gaps + outOfOrder === 0;
}

/** The accounts as a table. */
export function table(accounts: readonly Account[]): string {
  const heads = [
    'subscriber',
    'edge',
    'cut off',
    'delivered',
    'missing',
    'duplicates',
    'gaps',
    'out of order',
  ];
  const rows = accounts.map(({ listener, missing, duplicates, gaps, outOfOrder }) => [
    listener.person.name,
    listener.edge,
    ...[listener.reconnects, listener.deliveries.length, missing, duplicates, gaps, outOfOrder].map(String),
  ]);
  const widths = heads.map((head, column) =>
    Math.max(head.length, ...rows.map((row) => width(row[column] ?? ''))),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => {
        const padding = ' '.repeat((widths[column] ?? 0) - width(cell));
        return column < 2 ? cell + padding : padding + cell;
      })
      .join('  ');
  return [heads, ...rows].map((cells) => `  ${line(cells)}`.trimEnd()).join('\n');
}

/** Lines about the senders. */
export function sendingSummary(speakers: readonly Speaker[], seconds: number): string {
  const sent = speakers.flatMap((speaker) => speaker.sent);
  const retried = sent.filter(({ attempts }) => attempts > 1);
  const repeated = retried.filter((message) => message.repeated).length;
  const over = Map.groupBy(speakers, ({ edge }) => edge);
  const edges = [...over].map(([edge, some]) => `${some.length} over ${edge}`).join(', ');
  return (
    `${sent.length} messages sent by ${speakers.length} people (${edges}) in ${seconds.toFixed(1)} s. ` +
    `${retried.length} lost\ntheir connection before the answer came and were sent again with the same ` +
    `request_id: ${repeated}\nof them had been committed the first time.`
  );
}

/** From the first attempt to the arrival, where neither the sender nor the subscriber was cut off in between. */
export function latencySummary(listeners: readonly Listener[], sent: readonly Sent[]): string {
  const undisturbed = new Map(
    sent.filter(({ attempts }) => attempts === 1).map((message) => [message.messageId, message.at]),
  );
  const times = listeners
    .flatMap(({ deliveries }) => deliveries)
    .flatMap((delivery) => timeOf(delivery, undisturbed))
    .sort((a, b) => a - b);
  const at = (share: number) => (times[Math.ceil(times.length * share) - 1] ?? Number.NaN).toFixed(1);
  return `Send to delivery, of ${times.length} live ones: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms.`;
}

function timeOf({ messageId, at, openSince }: Delivery, sentAt: ReadonlyMap<bigint, number>): number[] {
  const sent = sentAt.get(messageId);
  return sent === undefined || openSince > sent ? [] : [at - sent];
}

// East Asian characters take two columns; combining marks are composed in our names.
function width(text: string): number {
  return [...text].reduce((sum, character) => sum + (/[\u3040-\u9fff]/.test(character) ? 2 : 1), 0);
}
