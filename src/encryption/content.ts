import { create, fromBinary, type MessageInitShape, type MessageShape, toBinary } from '@bufbuild/protobuf';
import type { AttachmentSchema } from '#gen/serp/discuss/v1/attachment_pb.ts';
import { ContentState, MessageSchema } from '#gen/serp/discuss/v1/message_pb.ts';
import { errors } from '../rpc/errors.ts';
import type { DataKeys } from './data-keys.ts';
import { type DataKey, keyIdOf, seal, unseal } from './envelope.ts';

type Message = MessageInitShape<typeof MessageSchema>;
type Attachment = MessageInitShape<typeof AttachmentSchema>;
type Content = Pick<MessageShape<typeof MessageSchema>, 'content' | 'metadata' | 'poll'>;

/** File name of an attachment whose name is encrypted, where it is not decrypted. */
export const ENCRYPTED_FILE_NAME = 'file';

/** Encrypts text, metadata and the labels of a poll of a message. */
export function sealContent(key: DataKey, messageId: bigint, message: Message): Buffer {
  const labels = message.poll?.options?.map(({ text = '' }) => ({ text })) ?? [];
  const { content = '', metadata } = message;
  const poll = labels.length === 0 ? undefined : { options: labels };
  const bytes = toBinary(MessageSchema, create(MessageSchema, { content, metadata, poll }));
  return seal(key, { field: 'content', id: messageId }, bytes);
}

export function sealFileName(key: DataKey, attachmentId: bigint, name: string): Buffer {
  return seal(key, { field: 'file_name', id: attachmentId }, Buffer.from(name));
}

/** A copy of a message without what `sealContent` encrypts. */
export function withoutContent(message: Message): MessageShape<typeof MessageSchema> {
  const copy = create(MessageSchema, message);
  copy.content = '';
  delete copy.metadata;
  for (const option of copy.poll?.options ?? []) option.text = '';
  return copy;
}

/** Ids of the data keys that `openMessage` needs. */
export function keyIdsOf(message: Message): bigint[] {
  const sealed = [message.encryptedContent, ...(message.attachments ?? []).map((file) => file.encryptedName)];
  return sealed.flatMap((bytes) => keyIdOf(bytes ?? new Uint8Array()) ?? []);
}

/** Replaces the encrypted content of messages by its plaintext, or states why it cannot. Reads keys that are not loaded. */
export async function openMessages<T extends Message>(
  keys: DataKeys,
  messages: readonly T[],
): Promise<readonly T[]> {
  const encrypted = messages.filter(hasEncrypted);
  if (encrypted.length === 0) return messages;
  await keys.load(encrypted.flatMap(keyIdsOf));
  for (const message of encrypted) openMessage(keys, message);
  return messages;
}

/** The same for messages of one channel. Throws if a key is not available. */
export async function openPage<T extends Message>(
  keys: DataKeys,
  messages: readonly T[],
): Promise<readonly T[]> {
  await openMessages(keys, messages);
  for (const { contentState, channelId } of messages)
    if (contentState === ContentState.KEY_UNAVAILABLE) throw errors.encryptionKeyUnavailable(channelId);
  return messages;
}

/** The same for one message. Throws if its content cannot be decrypted. */
export async function openOne<T extends Message>(keys: DataKeys, message: T): Promise<T> {
  await openPage(keys, [message]);
  if (message.contentState === ContentState.CORRUPTED) throw errors.contentCorrupted(message.id);
  return message;
}

function hasEncrypted({ encryptedContent, attachments }: Message): boolean {
  return (
    (encryptedContent?.length ?? 0) > 0 || attachments?.some((file) => isSealed(file.encryptedName)) === true
  );
}

/** Decrypts a message in place with keys that were loaded. */
export function openMessage(keys: DataKeys, message: Message): void {
  for (const file of message.attachments ?? []) openFileName(keys, file);
  const { encryptedContent, channelId = 0n, id = 0n } = message;
  if (!isSealed(encryptedContent)) return;
  message.encryptedContent = new Uint8Array();
  const opened = open(keys, channelId, { field: 'content', id }, encryptedContent);
  if (Buffer.isBuffer(opened)) put(message, fromBinary(MessageSchema, opened));
  else message.contentState = opened;
}

/** Decrypts the name of a file in place. A name that cannot be decrypted stays the constant one. */
export function openFileName(keys: DataKeys, file: Attachment): void {
  const { encryptedName, channelId = 0n, id = 0n } = file;
  if (!isSealed(encryptedName)) return;
  file.encryptedName = new Uint8Array();
  const opened = open(keys, channelId, { field: 'file_name', id }, encryptedName);
  if (Buffer.isBuffer(opened)) file.fileName = opened.toString();
}

/** The same, with keys that are loaded now. */
export async function openFileNames<T extends Attachment>(
  keys: DataKeys,
  files: readonly T[],
): Promise<readonly T[]> {
  const encrypted = files.filter(({ encryptedName }) => isSealed(encryptedName));
  if (encrypted.length === 0) return files;
  await keys.load(encrypted.flatMap(({ encryptedName }) => keyIdOf(encryptedName ?? new Uint8Array()) ?? []));
  for (const file of encrypted) openFileName(keys, file);
  return files;
}

function open(
  keys: DataKeys,
  channelId: bigint,
  place: Parameters<typeof unseal>[1],
  sealed: Uint8Array,
): Buffer | ContentState {
  const keyId = keyIdOf(sealed);
  if (keyId === undefined) return ContentState.CORRUPTED;
  const key = keys.get(keyId);
  if (key === undefined || key === 'unavailable') return ContentState.KEY_UNAVAILABLE;
  if (key.channelId !== channelId) return ContentState.CORRUPTED;
  return unseal(key, place, sealed) ?? ContentState.CORRUPTED;
}

function put(message: Message, { content, metadata, poll }: Content): void {
  message.content = content;
  if (metadata !== undefined) message.metadata = metadata;
  for (const [index, option] of message.poll?.options?.entries() ?? [])
    option.text = poll?.options[index]?.text ?? '';
}

function isSealed(bytes: Uint8Array | undefined): bytes is Uint8Array {
  return bytes !== undefined && bytes.length > 0;
}
