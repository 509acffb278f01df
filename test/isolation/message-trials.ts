import assert from 'node:assert/strict';
import { type Message, MessageType, type Reaction } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { Access } from '#gen/serp/discuss/v1/options_pb.ts';
import { binh, SECRET, type Victim } from './fixture.ts';
import { itemTrials } from './item-trials.ts';
import { empty, rejected, type Trial } from './trial.ts';

const { method } = MessageService;
const { USER, USER_OR_SERVICE } = Access;

const message = ({ channelId, messageId }: Victim) => ({ channelId, messageId });
const poll = ({ channelId, pollId }: Victim) => ({ channelId, messageId: pollId });
const thread = ({ channelId, messageId }: Victim) => ({ channelId, rootMessageId: messageId });

export const messageTrials: readonly Trial[] = [
  rejected(method.sendMessage, {
    access: USER_OR_SERVICE,
    // A service that acts for itself posts nothing but SYSTEM messages.
    request: ({ channelId }, { userId }) => ({
      channelId,
      content: 'tin mới',
      type: userId > 0n ? MessageType.TEXT : MessageType.SYSTEM,
    }),
    shows: (response) => assert.equal(response.message?.content, 'tin mới'),
  }),
  ...itemTrials,
  rejected(method.getMessage, {
    access: USER_OR_SERVICE,
    reason: 'MESSAGE_NOT_FOUND',
    request: message,
    shows: (response, victim) => showsMessage(response.message, victim),
  }),
  empty(method.batchGetMessages, {
    access: USER_OR_SERVICE,
    request: ({ messageId, pollId }) => ({ messageIds: [messageId, pollId] }),
    shows: ({ entries, missingMessageIds }, victim) => {
      showsMessage(entries[0]?.message, victim);
      assert.deepEqual([entries.length, missingMessageIds], [2, []]);
    },
    without: (response) => ({ ...response, missingMessageIds: [] }),
  }),
  rejected(method.listMessages, {
    access: USER_OR_SERVICE,
    request: ({ channelId }) => ({ channelId }),
    shows: ({ messages }, victim) => showsMessage(find(messages, victim), victim),
  }),
  rejected(method.editMessage, {
    access: USER,
    reason: 'MESSAGE_NOT_FOUND',
    request: (victim) => ({ ...message(victim), content: 'đã sửa', updateMask: { paths: ['content'] } }),
    shows: (response) => assert.equal(response.message?.content, 'đã sửa'),
  }),
  rejected(method.listEdits, {
    access: USER_OR_SERVICE,
    reason: 'MESSAGE_NOT_FOUND',
    request: message,
    shows: ({ versions }) => assert.equal(versions.length, 1),
  }),
  rejected(method.deleteMessage, {
    access: USER_OR_SERVICE,
    reason: 'MESSAGE_NOT_FOUND',
    request: message,
    shows: async (_, victim, { app }) => {
      const read = await app.client(MessageService, binh).getMessage(message(victim));
      assert.equal(read.message?.content, '');
    },
  }),
  rejected(method.listThread, {
    access: USER_OR_SERVICE,
    reason: 'MESSAGE_NOT_FOUND',
    request: thread,
    shows: ({ root, replies }, victim) => {
      showsMessage(root, victim);
      assert.equal(replies[0]?.content, SECRET);
    },
  }),
  empty(method.listThreads, {
    access: USER,
    request: () => ({}),
    shows: ({ entries }, victim) =>
      showsMessage(
        find(
          entries.flatMap(({ root }) => root ?? []),
          victim,
        ),
        victim,
      ),
  }),
  rejected(method.followThread, {
    access: USER,
    reason: 'MESSAGE_NOT_FOUND',
    request: thread,
    shows: ({ state }) => assert.equal(state?.following, true),
  }),
  rejected(method.unfollowThread, {
    access: USER,
    reason: 'MESSAGE_NOT_FOUND',
    request: thread,
    shows: async (_, victim, { app }) => {
      const { entries } = await app.client(MessageService, { userId: 1n, tenantId: 1n }).listThreads({});
      assert.ok(!entries.some(({ root }) => root?.id === victim.messageId));
    },
  }),
  rejected(method.markThreadRead, {
    access: USER,
    reason: 'MESSAGE_NOT_FOUND',
    request: (victim) => ({ ...thread(victim), all: true }),
    by: binh,
    shows: ({ state }) => assert.equal(state?.unreadCount, 0),
  }),
  rejected(method.addReaction, {
    access: USER,
    reason: 'MESSAGE_NOT_FOUND',
    request: (victim) => ({ ...message(victim), emoji: '🎉' }),
    shows: ({ reactions }) => assert.deepEqual(emojis(reactions), ['👍', '🎉']),
  }),
  rejected(method.removeReaction, {
    access: USER,
    reason: 'MESSAGE_NOT_FOUND',
    request: (victim) => ({ ...message(victim), emoji: '👍' }),
    shows: ({ reactions }) => assert.deepEqual(emojis(reactions), []),
  }),
  rejected(method.listReactions, {
    access: USER_OR_SERVICE,
    reason: 'MESSAGE_NOT_FOUND',
    request: message,
    shows: ({ entries }) =>
      assert.deepEqual(
        entries.map(({ emoji }) => emoji),
        ['👍'],
      ),
  }),
  rejected(method.votePoll, {
    access: USER,
    reason: 'MESSAGE_NOT_FOUND',
    request: (victim) => ({ ...poll(victim), optionIds: [1] }),
    shows: (response) => assert.equal(response.poll?.options[0]?.voteCount, 1),
  }),
  rejected(method.closePoll, {
    access: USER,
    reason: 'MESSAGE_NOT_FOUND',
    request: poll,
    shows: (response) => assert.equal(response.poll?.manualCloseTime === undefined, false),
  }),
  rejected(method.getPoll, {
    access: USER_OR_SERVICE,
    reason: 'MESSAGE_NOT_FOUND',
    request: poll,
    shows: (response) => assert.equal(response.poll?.options[0]?.text, SECRET),
  }),
  rejected(method.pinMessage, {
    access: USER,
    reason: 'MESSAGE_NOT_FOUND',
    request: poll,
    shows: (response) => assert.ok(response.message?.pinTime),
  }),
  rejected(method.unpinMessage, {
    access: USER,
    reason: 'MESSAGE_NOT_FOUND',
    request: message,
    shows: (response) => assert.equal(response.message?.pinTime, undefined),
  }),
  rejected(method.listPins, {
    access: USER_OR_SERVICE,
    request: ({ channelId }) => ({ channelId }),
    shows: ({ messages }, victim) => showsMessage(find(messages, victim), victim),
  }),
];

function find(messages: readonly Message[], { messageId }: Victim): Message | undefined {
  return messages.find(({ id }) => id === messageId);
}

function showsMessage(shown: Message | undefined, { messageId }: Victim): void {
  assert.equal(shown?.id, messageId);
  assert.equal(shown?.content, SECRET);
}

function emojis(reactions: readonly Reaction[]): string[] {
  return reactions.map(({ emoji }) => emoji);
}
