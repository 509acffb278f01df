import type { DemoSender, Sent } from './sender.ts';
import type { Delivery, DemoSubscriber } from './subscriber.ts';

/** The deliveries of one subscriber, compared with the channel's history. */
export type DeliveryReport = {
  readonly subscriber: DemoSubscriber;
  readonly missing: number;
  readonly duplicates: number;
  readonly gaps: number;
  readonly outOfOrder: number;
};

/** Compares the deliveries of a subscriber with the history, oldest first. */
export function checkDeliveries(subscriber: DemoSubscriber, history: readonly bigint[]): DeliveryReport {
  const places = new Map(history.map((messageId, place) => [messageId, place]));
  const delivered = new Set<bigint>();
  let outOfOrder = 0;
  let last = -1;
  for (const { messageId } of subscriber.deliveries) {
    const place = places.get(messageId) ?? -1;
    if (place < last) outOfOrder += 1;
    last = Math.max(last, place);
    delivered.add(messageId);
  }
  return {
    subscriber,
    missing: history.filter((messageId) => !delivered.has(messageId)).length,
    duplicates: Math.max(subscriber.duplicates, subscriber.deliveries.length - delivered.size),
    gaps: subscriber.gaps + subscriber.resets,
    outOfOrder,
  };
}

export function isClean({ missing, duplicates, gaps, outOfOrder }: DeliveryReport): boolean {
  return missing + duplicates + gaps + outOfOrder === 0;
}

/** The reports as a table. */
export function table(reports: readonly DeliveryReport[]): string {
  const heads = [
    'subscriber',
    'edge',
    'reconnects',
    'delivered',
    'missing',
    'duplicates',
    'gaps',
    'out of order',
  ];
  const rows = reports.map(({ subscriber, missing, duplicates, gaps, outOfOrder }) => [
    subscriber.user.name,
    subscriber.edge,
    ...[subscriber.reconnects, subscriber.deliveries.length, missing, duplicates, gaps, outOfOrder].map(
      String,
    ),
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
export function sendingSummary(senders: readonly DemoSender[], seconds: number): string {
  const sent = senders.flatMap((sender) => sender.sent);
  const retried = sent.filter(({ attempts }) => attempts > 1);
  const repeated = retried.filter((message) => message.repeated).length;
  const over = Map.groupBy(senders, ({ edge }) => edge);
  const edges = [...over].map(([edge, some]) => `${some.length} over ${edge}`).join(', ');
  return (
    `${sent.length} messages sent by ${senders.length} users (${edges}) in ${seconds.toFixed(1)} s. ` +
    `${retried.length} were sent again\nwith the same request_id because the connection broke before the response: ` +
    `${repeated} of these had\nbeen committed by the first attempt.`
  );
}

/** From the first attempt to the delivery, where the connections of sender and subscriber were not cut in between. */
export function latencySummary(subscribers: readonly DemoSubscriber[], sent: readonly Sent[]): string {
  const firstAttempts = new Map(
    sent.filter(({ attempts }) => attempts === 1).map((message) => [message.messageId, message.at]),
  );
  const times = subscribers
    .flatMap(({ deliveries }) => deliveries)
    .flatMap((delivery) => timeOf(delivery, firstAttempts))
    .sort((a, b) => a - b);
  const at = (share: number) => (times[Math.ceil(times.length * share) - 1] ?? Number.NaN).toFixed(1);
  return `Send to delivery of ${times.length} live messages: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms.`;
}

function timeOf({ messageId, at, openSince }: Delivery, sentAt: ReadonlyMap<bigint, number>): number[] {
  const sent = sentAt.get(messageId);
  return sent === undefined || openSince > sent ? [] : [at - sent];
}

// East Asian characters take two columns; combining marks are composed in our names.
function width(text: string): number {
  return [...text].reduce((sum, character) => sum + (/[\u3040-\u9fff]/.test(character) ? 2 : 1), 0);
}
