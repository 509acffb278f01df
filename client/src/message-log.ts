import { clone, create } from '@bufbuild/protobuf';
import type { Event } from '../gen/serp/discuss/v1/event_pb.ts';
import {
  ContentState,
  type Message,
  MessageSchema,
  ReactionSchema,
} from '../gen/serp/discuss/v1/message_pb.ts';

/** Users of a reaction that a message names. */
const NAMED_USERS = 20;

/** The messages of a channel, built from the channel's events alone, or from messages that were read and later events. */
export class MessageLog {
  readonly messages = new Map<bigint, Message>();
  /** By message that was read: `seq` up to which it includes the events about it. */
  readonly #readSeqs = new Map<bigint, bigint>();
  #seq = 0n;

  /** Takes messages over as they were read, with the `head_seq` of the response. */
  load(messages: readonly Message[], headSeq: bigint): void {
    for (const message of messages) {
      this.messages.set(message.id, clone(MessageSchema, message));
      this.#readSeqs.set(message.id, headSeq);
    }
  }

  apply({ seq, change }: Event): void {
    this.#seq = seq;
    switch (change.case) {
      case 'messageCreated':
        this.#created(change.value);
        break;
      case 'messageEdited':
        this.#put(change.value.message);
        break;
      case 'messageDeleted':
        this.#deleted(change.value);
        break;
      case 'reactionChanged':
        this.#reacted(change.value);
        break;
      case 'pollChanged':
        this.#change(change.value.messageId, (message) => {
          const { poll, contentState } = change.value;
          const before = message.poll;
          if (poll !== undefined) message.poll = poll;
          // Labels that could not be decrypted do not replace known ones.
          if (contentState !== ContentState.UNSPECIFIED)
            for (const [index, option] of poll?.options.entries() ?? [])
              option.text = before?.options[index]?.text ?? '';
        });
        break;
      case 'pinChanged':
        this.#change(change.value.messageId, (message) => {
          delete message.pinTime;
          if (change.value.pinTime !== undefined) message.pinTime = change.value.pinTime;
          message.pinnerId = change.value.pinnerId;
        });
        break;
      case 'attachmentChanged':
        this.#attachmentChanged(change.value);
        break;
      default:
    }
  }

  #includes(messageId: bigint): boolean {
    return this.#seq <= (this.#readSeqs.get(messageId) ?? 0n);
  }

  #attachmentChanged({
    messageId,
    attachment,
    removed,
  }: Extract<Event['change'], { case: 'attachmentChanged' }>['value']): void {
    this.#change(messageId, (message) => {
      message.attachments = message.attachments.flatMap((file) => {
        if (file.id !== attachment?.id) return [file];
        return removed ? [] : [attachment];
      });
    });
  }

  #put(message: Message | undefined): void {
    if (message !== undefined && !this.#includes(message.id))
      this.messages.set(message.id, clone(MessageSchema, message));
  }

  #change(messageId: bigint, change: (message: Message) => void): void {
    const message = this.messages.get(messageId);
    if (message !== undefined && message.deleteTime === undefined && !this.#includes(messageId))
      change(message);
  }

  #created(value: Extract<Event['change'], { case: 'messageCreated' }>['value']): void {
    const { message, threadReplyCount, threadParticipantCount } = value;
    this.#put(message);
    const root = this.messages.get(message?.rootMessageId ?? 0n);
    if (message === undefined || root === undefined || threadReplyCount === 0) return;
    if (this.#includes(root.id)) return;
    root.replyCount = threadReplyCount;
    if (message.createTime !== undefined) root.lastReplyTime = message.createTime;
    if (threadParticipantCount > root.participantCount && root.participantUserIds.length < 5)
      root.participantUserIds.push(message.senderId);
    root.participantCount = threadParticipantCount;
  }

  #deleted({ message, thread }: Extract<Event['change'], { case: 'messageDeleted' }>['value']): void {
    this.#put(message);
    const root = this.messages.get(thread?.rootMessageId ?? 0n);
    if (thread === undefined || root === undefined || this.#includes(root.id)) return;
    root.replyCount = thread.replyCount;
    root.participantCount = thread.participantCount;
    root.participantUserIds = [...thread.participantUserIds];
    delete root.lastReplyTime;
    if (thread.lastReplyTime !== undefined) root.lastReplyTime = thread.lastReplyTime;
  }

  #reacted(value: Extract<Event['change'], { case: 'reactionChanged' }>['value']): void {
    const { emoji, userId, added, count, nextUserId } = value;
    this.#change(value.messageId, (message) => {
      const reaction = message.reactions.find((given) => given.emoji === emoji);
      if (reaction === undefined) {
        message.reactions.push(create(ReactionSchema, { emoji, userIds: [userId], count }));
        return;
      }
      reaction.count = count;
      if (!added) reaction.userIds = reaction.userIds.filter((id) => id !== userId);
      const next = added ? userId : nextUserId;
      const isNamed = next === 0n || reaction.userIds.includes(next);
      if (!isNamed && reaction.userIds.length < NAMED_USERS) reaction.userIds.push(next);
      message.reactions = message.reactions.filter((given) => given.count > 0);
    });
  }
}
