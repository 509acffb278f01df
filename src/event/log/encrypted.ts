import { BinaryReader } from '@bufbuild/protobuf/wire';
import { type Event, EventSchema } from '#gen/serp/discuss/v1/event_pb.ts';
import { ContentState } from '#gen/serp/discuss/v1/message_pb.ts';
import { openFileName, openMessage } from '../../encryption/content.ts';
import type { DataKeys } from '../../encryption/data-keys.ts';
import { keyIdOf, type Place } from '../../encryption/envelope.ts';
import { type LoggedEvent, toEvent, toPayload } from './wire.ts';

const ENCRYPTED = EventSchema.field.encrypted.number;

/** Whether an encoded event contains encrypted content. Reads no further than the fields before `change`. */
export function isEncrypted(payload: Buffer): boolean {
  const reader = new BinaryReader(payload);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field >= ENCRYPTED) return field === ENCRYPTED;
    reader.skip(wireType, field);
  }
  return false;
}

/** The event with its plaintext, as members receive it. Undefined if a key must be loaded first, see `openEvents`. */
export function openEvent(keys: DataKeys, payload: Buffer): Buffer | undefined {
  const event = toEvent(payload);
  if (neededKeys(event).some((id) => keys.get(id) === undefined)) return undefined;
  return open(keys, event);
}

/** Replaces encrypted events by those with plaintext. What cannot be decrypted states the reason. */
export async function openEvents(
  keys: DataKeys,
  events: readonly LoggedEvent[],
): Promise<readonly LoggedEvent[]> {
  if (!events.some(({ payload }) => isEncrypted(payload))) return events;
  const decoded = events.map(({ payload }) => (isEncrypted(payload) ? toEvent(payload) : undefined));
  await keys.load(decoded.flatMap((event) => (event === undefined ? [] : neededKeys(event))));
  return events.map((logged, index) => {
    const event = decoded[index];
    return event === undefined ? logged : { ...logged, payload: open(keys, event) };
  });
}

/** The event without content, for readers that receive no plaintext. */
export function withholdContent(payload: Buffer): Buffer {
  const event = toEvent(payload);
  const { change } = event;
  const content = contentOf(event);
  if (content !== undefined) content.contentState = ContentState.WITHHELD;
  if (change.case === 'pollChanged') {
    change.value.contentState = ContentState.WITHHELD;
    change.value.encryptedContent = new Uint8Array();
  }
  event.encrypted = false;
  return toPayload(event);
}

/**
 * The event with everything that is encrypted with a key passed to `reseal`. The same event if there is nothing, undefined
 * if `reseal` returns undefined.
 */
export function resealEvent(
  payload: Buffer,
  keyId: bigint,
  reseal: (place: Place, sealed: Uint8Array) => Uint8Array | undefined,
): Buffer | undefined {
  if (!isEncrypted(payload)) return payload;
  const event = toEvent(payload);
  const parts = sealedParts(event).filter(({ bytes }) => keyIdOf(bytes) === keyId);
  for (const { place, bytes, replace } of parts) {
    const sealed = reseal(place, bytes);
    if (sealed === undefined) return undefined;
    replace(sealed);
  }
  return parts.length === 0 ? payload : toPayload(event);
}

function open(keys: DataKeys, event: Event): Buffer {
  const { change } = event;
  const content = contentOf(event);
  if (content !== undefined) openMessage(keys, content);
  if (change.case === 'attachmentChanged' && change.value.attachment !== undefined)
    openFileName(keys, change.value.attachment);
  if (change.case === 'pollChanged') openPoll(keys, event.channelId, change.value);
  event.encrypted = false;
  return toPayload(event);
}

type PollChanged = Extract<Event['change'], { case: 'pollChanged' }>['value'];

function openPoll(keys: DataKeys, channelId: bigint, changed: PollChanged): void {
  const message = toPollMessage(channelId, changed);
  openMessage(keys, message);
  changed.encryptedContent = new Uint8Array();
  changed.contentState = message.contentState;
}

function neededKeys(event: Event): bigint[] {
  return sealedParts(event).flatMap(({ bytes }) => keyIdOf(bytes) ?? []);
}

/** The message of an event that contains one with content. */
function contentOf({ change }: Event) {
  return change.case === 'messageCreated' || change.case === 'messageEdited'
    ? change.value.message
    : undefined;
}

/** The message of a poll, as far as decrypting its labels needs it. */
function toPollMessage(
  channelId: bigint,
  { messageId, poll, encryptedContent }: Pick<PollChanged, 'messageId' | 'poll' | 'encryptedContent'>,
) {
  const contentState: ContentState = ContentState.UNSPECIFIED;
  return { id: messageId, channelId, contentState, ...(poll && { poll }), encryptedContent };
}

type SealedPart = {
  readonly place: Place;
  readonly bytes: Uint8Array;
  readonly replace: (bytes: Uint8Array) => void;
};

/** The encrypted fields of an event. */
function sealedParts(event: Event): SealedPart[] {
  const { change } = event;
  const content = contentOf(event);
  const files = [
    ...(content?.attachments ?? []),
    ...(change.case === 'attachmentChanged' && change.value.attachment ? [change.value.attachment] : []),
  ];
  const holders = [
    ...(content === undefined ? [] : [{ id: content.id, holder: content }]),
    ...(change.case === 'pollChanged' ? [{ id: change.value.messageId, holder: change.value }] : []),
  ];
  return [
    ...holders.map(({ id, holder }): SealedPart => {
      const replace = (bytes: Uint8Array) => void Object.assign(holder, { encryptedContent: bytes });
      return { place: { field: 'content', id }, bytes: holder.encryptedContent, replace };
    }),
    ...files.map((file): SealedPart => {
      const replace = (bytes: Uint8Array) => void Object.assign(file, { encryptedName: bytes });
      return { place: { field: 'file_name', id: file.id }, bytes: file.encryptedName, replace };
    }),
  ];
}
