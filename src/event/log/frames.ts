import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { type Event, EventSchema } from '#gen/serp/discuss/v1/event_pb.ts';
import { SubscribeResponseSchema } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { Frame } from '../../rpc/frame.ts';
import type { LoggedEvent } from './sql.ts';

const EVENT_TAG = 0x0a;

/** Field of `Event.change` after which something that was in the log is there no more. */
export const MESSAGE_DELETED = 21;

/** The stream message that carries an event: its bytes as logged behind `SubscribeResponse.event`'s tag and length. */
export function toEventFrame(payload: Buffer): Frame {
  const head = [EVENT_TAG];
  for (let left = payload.length; ; left >>>= 7) {
    if (left < 0x80) {
      head.push(left);
      break;
    }
    head.push((left & 0x7f) | 0x80);
  }
  return new Frame(SubscribeResponseSchema, Buffer.concat([Buffer.from(head), payload]));
}

/** Any other message of a stream. */
export function toFrame(payload: MessageInitShape<typeof SubscribeResponseSchema>['payload']): Frame {
  return new Frame(
    SubscribeResponseSchema,
    Buffer.from(
      toBinary(
        SubscribeResponseSchema,
        create(SubscribeResponseSchema, { payload: payload ?? { case: undefined } }),
      ),
    ),
  );
}

/** A stream message that another instance encoded. */
export function toReceivedFrame(response: Uint8Array): Frame {
  return new Frame(SubscribeResponseSchema, Buffer.from(response));
}

/**
 * Reads the head of an encoded event without decoding the rest: most events received are for channels that
 * nobody here listens to.
 */
export function peekEvent(payload: Buffer): LoggedEvent {
  const reader = new BinaryReader(payload);
  reader.tag();
  const channelId = BigInt(reader.int64());
  reader.tag();
  const seq = BigInt(reader.int64());
  return { channelId, seq, payload };
}

/** Field number of the change an event holds; 0 when it holds none. */
export function changeField(payload: Buffer): number {
  const reader = new BinaryReader(payload);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field >= 10) return field;
    reader.skip(wireType, field);
  }
  return 0;
}

export function toEvent(payload: Buffer): Event {
  return fromBinary(EventSchema, payload);
}
