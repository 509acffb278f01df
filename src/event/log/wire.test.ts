import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { create, type DescMessage, toBinary } from '@bufbuild/protobuf';
import { EventSchema, MessageCreatedSchema, ReactionChangedSchema } from '#gen/serp/discuss/v1/event_pb.ts';
import { MessageSchema } from '#gen/serp/discuss/v1/message_pb.ts';
import {
  CHANNEL_DELETED,
  changeField,
  PLACEHOLDER_COUNT,
  PLACEHOLDER_ID,
  peekEvent,
  placeholderTime,
  postedMessage,
  toEvent,
  toPatchable,
} from './wire.ts';

// What the SQL functions write or expect, see sql/functions/event/.
const ID_BYTES = 9;
const SEQ = 'ffffffffffffffff7f';
const EVENT_TIME = '1a0c08ffffffff7f10ffffffff07';
const MESSAGE = `08ffffffffffffffff7f10ffffffffffffffff7f${EVENT_TIME}`;
const THREAD = '18ffffffff0720ffffffff07';

const reply = () =>
  toPatchable({
    channelId: 5n,
    actorId: 7n,
    change: {
      case: 'messageCreated',
      value: {
        message: {
          id: PLACEHOLDER_ID,
          position: PLACEHOLDER_ID,
          createTime: placeholderTime,
          channelId: 5n,
          senderId: 7n,
          content: 'hi',
          rootMessageId: 3n,
        },
        requestId: 'r',
        threadReplyCount: PLACEHOLDER_COUNT,
        threadParticipantCount: PLACEHOLDER_COUNT,
      },
    },
  });

describe('the encoded event of a posted reply', () => {
  it('has the bytes that patch_event, patch_message and patch_thread overwrite', () => {
    assert.equal(
      reply().payload.toString('hex'),
      `080510${SEQ}${EVENT_TIME}2007` + // channel_id, seq, event_time, actor_id
        `523d0a2c${MESSAGE}` + // message_created, message: id, position, create_time
        '200528073a0268694803' + // the rest of the message
        `120172${THREAD}`, // request_id, thread_reply_count, thread_participant_count
    );
  });

  it('has seq and time at seqOffset, and id, position and time of the message at messageOffset', () => {
    const { payload, seqOffset, messageOffset } = reply();
    const rest = (offset: number) => payload.subarray(offset).toString('hex');
    assert.ok(rest(seqOffset).startsWith(SEQ + EVENT_TIME));
    assert.ok(rest(messageOffset - 1).startsWith(MESSAGE));
    assert.ok(rest(messageOffset + ID_BYTES).startsWith('10'));
  });

  it('ends with the thread counters, whatever other fields are set', () => {
    assert.ok(reply().payload.toString('hex').endsWith(THREAD));
    assert.deepEqual(highestFields(MessageCreatedSchema, 2), [
      'thread_reply_count',
      'thread_participant_count',
    ]);
    const { fields, field, oneofs } = EventSchema;
    const beside = fields.filter(({ oneof }) => oneof === undefined);
    assert.ok(beside.every(({ number }) => number < field.messageCreated.number));
    assert.equal(oneofs.length, 1);
  });

  it('has the fields that PostgreSQL assigns first in the message, and seq before the time in the event', () => {
    assert.deepEqual(lowestFields(MessageSchema, 3), ['id', 'position', 'create_time']);
    assert.deepEqual(lowestFields(EventSchema, 3), ['channel_id', 'seq', 'event_time']);
  });
});

describe('the encoded event of a posted message', () => {
  it('contains the encoded message', () => {
    const message = {
      id: PLACEHOLDER_ID,
      position: PLACEHOLDER_ID,
      createTime: placeholderTime,
      channelId: 5n,
      content: 'hi',
    };
    const change = { case: 'messageCreated', value: { message, requestId: 'r' } } as const;
    const { payload } = toPatchable({ channelId: 5n, actorId: 7n, change });
    const encoded = toBinary(MessageSchema, create(MessageSchema, message));
    assert.deepEqual(Buffer.from(postedMessage(payload)), Buffer.from(encoded));
  });
});

describe('the encoded event of a reaction', () => {
  it('ends with the count and the next user, which patch_reaction overwrites', () => {
    const { payload } = toPatchable({
      channelId: 5n,
      change: {
        case: 'reactionChanged',
        value: {
          messageId: 3n,
          emoji: ':a:',
          userId: 7n,
          added: true,
          count: PLACEHOLDER_COUNT,
          nextUserId: PLACEHOLDER_ID,
        },
      },
    });
    const last = '28ffffffff0730ffffffffffffffff7f';
    assert.ok(
      payload.toString('hex').endsWith(`b2011b080312033a613a18072001${last}`),
      payload.toString('hex'),
    );
    assert.deepEqual(highestFields(ReactionChangedSchema, 2), ['count', 'next_user_id']);
  });
});

describe('an encoded event of another kind', () => {
  it('has seq and time at seqOffset, and no message', () => {
    const { payload, seqOffset, messageOffset } = toPatchable({
      channelId: PLACEHOLDER_ID,
      change: { case: 'channelDeleted', value: {} },
    });
    assert.equal(messageOffset, 0);
    assert.equal(payload.subarray(seqOffset).toString('hex'), `${SEQ}${EVENT_TIME}7a00`);
    assert.equal(changeField(payload), CHANNEL_DELETED);
    const { channelId, seq } = peekEvent(payload);
    assert.deepEqual([channelId, seq], [PLACEHOLDER_ID, PLACEHOLDER_ID]);
    assert.equal(toEvent(payload).change.case, 'channelDeleted');
  });
});

function lowestFields(schema: DescMessage, count: number): string[] {
  return byNumber(schema).slice(0, count);
}

function highestFields(schema: DescMessage, count: number): string[] {
  return byNumber(schema).slice(-count);
}

/** Names of the fields in the order in which they are encoded. */
function byNumber({ fields }: DescMessage): string[] {
  return fields.toSorted((a, b) => a.number - b.number).map(({ name }) => name);
}
