import { create, type DescField, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { type Timestamp, TimestampSchema } from '@bufbuild/protobuf/wkt';
import { type Event, EventSchema, MessageCreatedSchema } from '#gen/serp/discuss/v1/event_pb.ts';
import {
  StreamTenantEventsResponseSchema,
  SubscribeResponseSchema,
  TenantEventSchema,
} from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageSchema } from '#gen/serp/discuss/v1/message_pb.ts';
import { Frame } from '../../rpc/frame.ts';

// The one file that depends on how events are encoded. Field numbers come from the generated descriptors, offsets
// from the encoded bytes; wire.test.ts pins the layout that the SQL functions overwrite.

// Fields of `Event.change` that fan-out acts on.
export const MEMBERS_JOINED = EventSchema.field.membersJoined.number;
export const MEMBER_LEFT = EventSchema.field.memberLeft.number;
export const CHANNEL_DELETED = EventSchema.field.channelDeleted.number;
/** Changes that redact earlier events of the log, copies of which must not be used any more. */
export const REDACTING: ReadonlySet<number> = new Set([
  EventSchema.field.messageDeleted.number,
  EventSchema.field.attachmentChanged.number,
]);

const changeFields = new Set(EventSchema.oneofs.flatMap(({ fields }) => fields.map(({ number }) => number)));

/** An event as committed: what the relay carries and streams deliver. */
export type LoggedEvent = { readonly channelId: bigint; readonly seq: bigint; readonly payload: Buffer };

/**
 * An encoded event with placeholders for what only the database knows: `seq` and time, and for a posted message also
 * its id, position and time, and the counters of its thread; for a reaction its counter. The statement that assigns these
 * values writes them over the placeholders (`patch_event`, `patch_message`, `patch_thread`, `patch_reaction`). So one round trip commits the change together
 * with the bytes that subscribers receive, and no row stays locked while a process encodes.
 */
export type PatchableEvent = {
  readonly payload: Buffer;
  /** Byte offset of the value of `Event.seq`. */
  readonly seqOffset: number;
  /** Byte offset of the value of `Message.id`; 0 when the event is not a posted message. */
  readonly messageOffset: number;
};

/** The largest int64: nine bytes as a varint, so every id fits in its place, padded with continuation bits. */
export const PLACEHOLDER_ID = 0x7fff_ffff_ffff_ffffn;

/** Five bytes each for seconds (until the year 3058) and nanoseconds. */
export const placeholderTime: Timestamp = create(TimestampSchema, {
  seconds: 0x7_ffff_ffffn,
  nanos: 0x7fff_ffff,
});

/** Five bytes, for the counters that `patch_thread` and `patch_reaction` expect at the end of an event. */
export const PLACEHOLDER_COUNT = 0x7fff_ffff;

/** Encodes an event that the database has yet to number. */
export function toPatchable(
  event: Omit<MessageInitShape<typeof EventSchema>, 'seq' | 'eventTime' | '$typeName'>,
): PatchableEvent {
  const encoded = toBinary(
    EventSchema,
    create(EventSchema, { ...event, seq: PLACEHOLDER_ID, eventTime: placeholderTime }),
  );
  const payload = Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  const { seq, messageCreated } = EventSchema.field;
  const messagePath = [messageCreated, MessageCreatedSchema.field.message, MessageSchema.field.id];
  return {
    payload,
    seqOffset: offsetOf(payload, [seq]),
    messageOffset: event.change?.case === 'messageCreated' ? offsetOf(payload, messagePath) : 0,
  };
}

/** The encoded message of the event of a posted message. */
export function postedMessage(payload: Buffer): Uint8Array {
  const reader = new BinaryReader(payload);
  enter(reader, EventSchema.field.messageCreated);
  reader.uint32();
  enter(reader, MessageCreatedSchema.field.message);
  return reader.bytes();
}

/** Reads channel and `seq` of an encoded event without decoding the rest. */
export function peekEvent(payload: Buffer): LoggedEvent {
  const { channelId, seq } = EventSchema.field;
  const reader = new BinaryReader(payload);
  return { channelId: readInt64(reader, channelId), seq: readInt64(reader, seq), payload };
}

/** Field number of the change that an encoded event holds; 0 for a kind of change that this version does not know. */
export function changeField(payload: Buffer): number {
  const reader = new BinaryReader(payload);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (changeFields.has(field)) return field;
    reader.skip(wireType, field);
  }
  return 0;
}

export function toEvent(payload: Buffer): Event {
  return fromBinary(EventSchema, payload);
}

/** Encodes an event of the log that was changed. */
export function toPayload(event: Event): Buffer {
  return Buffer.from(toBinary(EventSchema, event));
}

/** SubscribeResponse with an event, whose bytes stay as they are in the log. */
export function toEventFrame(payload: Buffer): Frame {
  const head = new BinaryWriter()
    .tag(SubscribeResponseSchema.field.event.number, WireType.LengthDelimited)
    .uint32(payload.length)
    .finish();
  return new Frame(SubscribeResponseSchema, Buffer.concat([head, payload]));
}

/** SubscribeResponse with any other payload. */
export function toFrame(payload: MessageInitShape<typeof SubscribeResponseSchema>['payload']): Frame {
  const response = create(SubscribeResponseSchema, { payload: payload ?? { case: undefined } });
  return new Frame(SubscribeResponseSchema, Buffer.from(toBinary(SubscribeResponseSchema, response)));
}

/** SubscribeResponse that another instance encoded. */
export function toReceivedFrame(response: Uint8Array): Frame {
  return new Frame(SubscribeResponseSchema, Buffer.from(response));
}

/** StreamTenantEventsResponse with an event, whose bytes stay as they are in the log. */
export function toTenantEventFrame(cursor: string, tenantId: bigint, payload: Buffer): Frame {
  const response = StreamTenantEventsResponseSchema.field;
  const tenantEvent = TenantEventSchema.field;
  const bytes = new BinaryWriter()
    .tag(response.cursor.number, WireType.LengthDelimited)
    .string(cursor)
    .tag(response.event.number, WireType.LengthDelimited)
    .fork()
    .tag(tenantEvent.tenantId.number, WireType.Varint)
    .int64(tenantId)
    .tag(tenantEvent.event.number, WireType.LengthDelimited)
    .bytes(payload)
    .join()
    .finish();
  return new Frame(
    StreamTenantEventsResponseSchema,
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length),
  );
}

/** Byte offset of the value of a field, which the messages on the path to it contain. */
function offsetOf(payload: Buffer, path: readonly DescField[]): number {
  const reader = new BinaryReader(payload);
  for (const [index, field] of path.entries()) {
    enter(reader, field);
    if (index < path.length - 1) reader.uint32();
  }
  return reader.pos;
}

/** Moves a reader to the value of a field of the message it is in. */
function enter(reader: BinaryReader, { number, name }: DescField): void {
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === number) return;
    reader.skip(wireType, field);
  }
  throw new Error(`an encoded event lacks ${name}`);
}

function readInt64(reader: BinaryReader, field: DescField): bigint {
  enter(reader, field);
  return BigInt(reader.int64());
}
