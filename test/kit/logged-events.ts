import assert from 'node:assert/strict';
import { type Timestamp, timestampMs } from '@bufbuild/protobuf/wkt';
import type postgres from 'postgres';
import type { Event } from '#gen/serp/discuss/v1/event_pb.ts';
import { toEvent } from '../../src/event/log/wire.ts';
import type { App } from './app.ts';

type Row = {
  readonly channelId: bigint;
  readonly seq: bigint;
  readonly kind: string;
  readonly messageId: bigint | null;
  readonly actorId: bigint | null;
  readonly createdAt: bigint;
  readonly payload: Buffer;
  /** Of the message, unless it was purged. */
  readonly position: bigint | null;
};

/** The events of a channel in the log, in order. */
export async function loggedEvents({ owner }: Pick<App, 'owner'>, channelId: bigint): Promise<Event[]> {
  const rows = await owner<{ payload: Buffer }[]>`
    select payload from channel_events where channel_id = ${channelId} order by seq
  `;
  return rows.map(({ payload }) => toEvent(payload));
}

/**
 * Decodes every event in the log and compares it with its row: what PostgreSQL wrote over the placeholders of an
 * encoded event must be in the fields it belongs to, and must have left the other fields intact.
 */
export async function assertLoggedEventsDecode(owner: postgres.Sql<{ bigint: bigint }>): Promise<void> {
  const rows = await owner<Row[]>`
    select e.channel_id, e.seq, e.kind, e.message_id, e.actor_id, e.created_at, e.payload, m.post_seq as position
    from channel_events e
    left join messages m on m.id = e.message_id
  `;
  for (const row of rows) assertDecodes(row);
}

function assertDecodes(row: Row): void {
  const event = toEvent(row.payload);
  const place = `event ${row.seq} (${row.kind}) of channel ${row.channelId}`;
  assert.deepEqual(
    [event.channelId, event.seq, toMs(event.eventTime)],
    [row.channelId, row.seq, Number(row.createdAt)],
    `place and time of ${place}`,
  );
  if (!isRedacted(event))
    assert.deepEqual(
      [event.actorId, toKind(event.change.case)],
      [row.actorId ?? 0n, row.kind],
      `actor and kind of ${place}`,
    );
  if (event.change.case === 'messageCreated') assertPosted(event.change.value, row, place);
  assert.equal(event.$unknown, undefined, `unknown fields of ${place}`);
}

/** Whether a deletion of the message replaced the event: it keeps its place and time only. */
function isRedacted({ change }: Event): boolean {
  return (
    change.case === 'messageDeleted' ||
    (change.case === 'messageCreated' && change.value.message?.deleteTime !== undefined)
  );
}

type Posted = Extract<Event['change'], { case: 'messageCreated' }>['value'];

function assertPosted({ message, ...thread }: Posted, row: Row, place: string): void {
  assert.equal(message?.id, row.messageId, `message of ${place}`);
  if (row.position !== null) assert.equal(message?.position, row.position, `position of ${place}`);
  assert.equal(message?.channelId, row.channelId, `channel of the message of ${place}`);
  assert.equal(toMs(message?.createTime), Number(row.createdAt), `time of the message of ${place}`);
  const { threadReplyCount: replies, threadParticipantCount: participants } = thread;
  const hasThread = message !== undefined && message.rootMessageId !== 0n && message.deleteTime === undefined;
  const areInRange = hasThread ? 0 < replies && participants <= replies : replies + participants === 0;
  assert.ok(areInRange && replies < 1_000_000, `thread counters of ${place}: ${replies}, ${participants}`);
}

function toMs(time: Timestamp | undefined): number {
  return time === undefined ? 0 : timestampMs(time);
}

function toKind(change: Event['change']['case']): string {
  return (change ?? '').replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}
