import { randomUUID } from 'node:crypto';
import { PLACEHOLDER_ID, placeholderTime, toPatchable } from '../../src/event/log/wire.ts';
import type { SendItem } from '../../src/message/send-sql.ts';
import type { Channel } from './channels.ts';
import { TENANT } from './stack.ts';
import { textAt } from './texts.ts';

/** A message from each of the first `senders` members of each channel. */
export function toSendItems(channels: readonly Channel[], senders: number): SendItem[] {
  return channels.flatMap((channel, number) =>
    channel.members
      .slice(0, senders)
      .map((userId, place) => toItem(channel.id, userId, textAt(number + place))),
  );
}

/** Random messages of these, with request ids of their own. */
export function pickBatch(items: readonly SendItem[], size: number): SendItem[] {
  return Array.from({ length: size }, () => ({ ...pick(items), requestId: randomUUID() }));
}

export function pick<T>(items: readonly T[]): T {
  const item = items[Math.floor(Math.random() * items.length)];
  if (item === undefined) throw new RangeError('nothing to pick from');
  return item;
}

function toItem(channelId: bigint, senderId: bigint, content: string): SendItem {
  const message = { id: PLACEHOLDER_ID, position: PLACEHOLDER_ID, createTime: placeholderTime };
  const event = toPatchable({
    channelId,
    actorId: senderId,
    change: {
      case: 'messageCreated',
      value: { message: { ...message, channelId, senderId, content }, requestId: randomUUID() },
    },
  });
  return {
    tenantId: TENANT,
    userId: senderId,
    userName: 'An',
    isManager: false,
    channelId,
    requestId: randomUUID(),
    payloadHash: Buffer.alloc(32),
    type: 'TEXT',
    content,
    mentions: [],
    mentionScope: null,
    parentId: 0n,
    alsoInChannel: false,
    metadata: null,
    attachments: [],
    fileNames: '',
    ...event,
  };
}
