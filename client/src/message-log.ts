import type {
  AttachmentChangedJson,
  EventJson,
  MessageCreatedJson,
  MessageDeletedJson,
  PinChangedJson,
  PollChangedJson,
  ReactionChangedJson,
} from '../gen/serp/discuss/v1/event_pb.d.ts';
import type { MessageJson } from '../gen/serp/discuss/v1/message_pb.d.ts';
import { compareInt64 } from './int64.ts';

/** Users of a reaction that a message names. */
const NAMED_USERS = 20;
/** Participants of a thread that its first message names. */
const NAMED_PARTICIPANTS = 5;

/**
 * The messages of a channel, built from the channel's events alone, or from messages that were read and later events. A
 * message that changes is replaced by another object.
 */
export class MessageLog {
  readonly messages = new Map<string, MessageJson>();
  /** By message that was read: `seq` up to which it includes the events about it. */
  readonly #readSeqs = new Map<string, string>();
  #seq = '0';

  /** Takes messages over as they were read, with the `headSeq` of the response. */
  load(messages: readonly MessageJson[], headSeq = '0'): void {
    for (const message of messages) {
      const { id = '0' } = message;
      this.messages.set(id, message);
      this.#readSeqs.set(id, headSeq);
    }
  }

  /** Applies an event. Unknown changes come from a newer server and are ignored. */
  apply(event: EventJson): void {
    this.#seq = event.seq ?? '0';
    if (event.messageCreated !== undefined) this.#created(event.messageCreated);
    if (event.messageEdited !== undefined) this.#put(event.messageEdited.message);
    if (event.messageDeleted !== undefined) this.#deleted(event.messageDeleted);
    if (event.reactionChanged !== undefined) this.#reacted(event.reactionChanged);
    if (event.pollChanged !== undefined) this.#pollChanged(event.pollChanged);
    if (event.pinChanged !== undefined) this.#pinChanged(event.pinChanged);
    if (event.attachmentChanged !== undefined) this.#attachmentChanged(event.attachmentChanged);
  }

  #includes(messageId: string): boolean {
    return compareInt64(this.#seq, this.#readSeqs.get(messageId)) <= 0;
  }

  #put(message: MessageJson | undefined): void {
    const id = message?.id ?? '0';
    if (message !== undefined && !this.#includes(id)) this.messages.set(id, message);
  }

  /** Replaces a message that is known, was not deleted, and does not include the event. */
  #change(messageId: string | undefined, change: (message: MessageJson) => MessageJson): void {
    const message = this.messages.get(messageId ?? '0');
    if (message?.id !== undefined && message.deleteTime === undefined && !this.#includes(message.id))
      this.messages.set(message.id, change(message));
  }

  /** The same for the first message of a thread, which may have been deleted. */
  #changeRoot(rootId: string | undefined, change: (root: MessageJson) => MessageJson): void {
    const root = this.messages.get(rootId ?? '0');
    if (root?.id !== undefined && !this.#includes(root.id)) this.messages.set(root.id, change(root));
  }

  #created({ message, threadReplyCount = 0, threadParticipantCount = 0 }: MessageCreatedJson): void {
    this.#put(message);
    if (message === undefined || threadReplyCount === 0) return;
    const { rootMessageId, createTime, senderId = '0' } = message;
    this.#changeRoot(rootMessageId, (root) => {
      const { participantCount = 0, participantUserIds = [] } = root;
      const isNamed =
        threadParticipantCount > participantCount && participantUserIds.length < NAMED_PARTICIPANTS;
      return {
        ...root,
        replyCount: threadReplyCount,
        participantCount: threadParticipantCount,
        participantUserIds: isNamed ? [...participantUserIds, senderId] : participantUserIds,
        ...(createTime !== undefined && { lastReplyTime: createTime }),
      };
    });
  }

  #deleted({ message, thread }: MessageDeletedJson): void {
    this.#put(message);
    if (thread === undefined) return;
    const {
      rootMessageId,
      replyCount = 0,
      participantCount = 0,
      participantUserIds = [],
      lastReplyTime,
    } = thread;
    this.#changeRoot(rootMessageId, ({ lastReplyTime: _, ...root }) => ({
      ...root,
      replyCount,
      participantCount,
      participantUserIds,
      ...(lastReplyTime !== undefined && { lastReplyTime }),
    }));
  }

  #reacted({
    messageId,
    emoji = '',
    userId = '0',
    added,
    count = 0,
    nextUserId = '0',
  }: ReactionChangedJson): void {
    this.#change(messageId, (message) => {
      const { reactions = [] } = message;
      const given = reactions.find((reaction) => reaction.emoji === emoji);
      if (given === undefined)
        return { ...message, reactions: [...reactions, { emoji, userIds: [userId], count }] };
      const { userIds = [] } = given;
      const remaining = added ? userIds : userIds.filter((id) => id !== userId);
      const next = added ? userId : nextUserId;
      const isNamed = next !== '0' && !remaining.includes(next) && remaining.length < NAMED_USERS;
      const changed = { emoji, userIds: isNamed ? [...remaining, next] : remaining, count };
      const all = reactions.map((reaction) => (reaction === given ? changed : reaction));
      return { ...message, reactions: all.filter((reaction) => (reaction.count ?? 0) > 0) };
    });
  }

  #pollChanged({ messageId, poll, contentState }: PollChangedJson): void {
    if (poll === undefined) return;
    this.#change(messageId, (message) => {
      if (contentState === undefined || contentState === 'CONTENT_STATE_UNSPECIFIED')
        return { ...message, poll };
      // Labels that could not be decrypted do not replace known ones.
      const options = poll.options?.map((option, index) => ({
        ...option,
        text: message.poll?.options?.[index]?.text ?? '',
      }));
      return { ...message, poll: { ...poll, ...(options !== undefined && { options }) } };
    });
  }

  #pinChanged({ messageId, pinTime, pinnerId = '0' }: PinChangedJson): void {
    this.#change(messageId, ({ pinTime: _, ...message }) => ({
      ...message,
      pinnerId,
      ...(pinTime !== undefined && { pinTime }),
    }));
  }

  #attachmentChanged({ messageId, attachment, removed = false }: AttachmentChangedJson): void {
    if (attachment === undefined) return;
    this.#change(messageId, (message) => {
      const attachments = message.attachments?.flatMap((file) => {
        if (file.id !== attachment.id) return [file];
        return removed ? [] : [attachment];
      });
      return { ...message, ...(attachments !== undefined && { attachments }) };
    });
  }
}
