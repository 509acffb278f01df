import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import type { Timestamp } from '@bufbuild/protobuf/wkt';
import { TimestampSchema } from '@bufbuild/protobuf/wkt';
import { EventSchema } from '#gen/serp/discuss/v1/event_pb.ts';

/**
 * An encoded event with room for what only the database can know: `seq` and time, and for a posted message
 * also its id, position and time. PostgreSQL writes these over the placeholders in the statement that assigns
 * them (`patch_event` and `patch_message` in sql/functions/event), so that one round trip commits the change and
 * the very bytes subscribers get, and no row stays locked while a process encodes.
 */
export type PatchableEvent = {
  readonly payload: Buffer;
  /** Byte offset of `Event.seq`. */
  readonly seqOffset: number;
  /** Byte offset of `Message.id`; 0 when the event is not a posted message. */
  readonly messageOffset: number;
};

// The largest int64 takes nine bytes as a varint: every number fits in its place, padded with continuation bits.
export const PLACEHOLDER_ID = 0x7fff_ffff_ffff_ffffn;
const PLACEHOLDER_BYTES = Buffer.from('ffffffffffffffff7f', 'hex');

// Five bytes each for seconds (until the year 3058) and nanoseconds.
export const placeholderTime: Timestamp = create(TimestampSchema, {
  seconds: 0x7_ffff_ffffn,
  nanos: 0x7fff_ffff,
});

/** For the counts of a posted reply's thread: five bytes each, at the end of the event (`patch_thread`). */
export const PLACEHOLDER_COUNT = 0x7fff_ffff;

const STAMPED_HEADER_BYTES = 23;

/** Encodes an event that has yet to be given its place in the log. */
export function toPatchable(
  event: Omit<MessageInitShape<typeof EventSchema>, 'seq' | 'eventTime' | '$typeName'>,
): PatchableEvent {
  const encoded = toBinary(
    EventSchema,
    create(EventSchema, { ...event, seq: PLACEHOLDER_ID, eventTime: placeholderTime }),
  );
  const payload = Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  const seqOffset = payload.indexOf(PLACEHOLDER_BYTES);
  const isMessage = event.change?.case === 'messageCreated';
  const messageOffset = isMessage ? payload.indexOf(PLACEHOLDER_BYTES, seqOffset + STAMPED_HEADER_BYTES) : 0;
  return { payload, seqOffset, messageOffset };
}
