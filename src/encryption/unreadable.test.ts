import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { MemberRole } from '#gen/serp/discuss/v1/member_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { ContentState } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { App, As } from '../../test/kit/app.ts';
import {
  encryptionFixture,
  OTHER,
  openEncryptedApp,
  WITHOUT_KEY,
  WRONG_KEY,
} from '../../test/kit/encryption-fixture.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';

const user = (userId: bigint): As => ({ userId, tenantId: 1n });
const [ana, binh, chi] = [user(1n), user(2n), user(3n)];

describe('encrypted channels with content that cannot be decrypted', () => {
  let the: App;

  before(async () => {
    the = await openEncryptedApp();
  });
  after(() => the.close());

  const { messages, events, group, send, contents } = encryptionFixture(() => the);

  it('report content that was changed, or moved to another message or channel', async () => {
    const [channelId, otherId] = [await group(), await group()];
    const [first, second, third] = [
      await send(channelId, 'một'),
      await send(channelId, 'hai'),
      await send(channelId, 'ba'),
    ];
    const other = await send(otherId, 'khác');
    await the.owner`
      update messages m
      set encrypted_content = x.encrypted_content
      from messages x
      where (m.id, x.id) in ((${first.id}, ${second.id}), (${second.id}, ${other.id}))
    `;
    await the.owner`
      update messages
      set encrypted_content = set_byte(encrypted_content, 30, get_byte(encrypted_content, 30) # 1)
      where id = ${other.id}
    `;
    for (const [id, messageId] of [
      [channelId, first.id],
      [channelId, second.id],
      [otherId, other.id],
    ] as const) {
      const error = await rejects(
        messages().getMessage({ channelId: id, messageId }),
        Code.DataLoss,
        'CONTENT_CORRUPTED',
      );
      assert.ok(!error.message.includes('khác'));
    }
    const { messages: page } = await messages().listMessages({ channelId });
    const shown = page
      .filter(({ notice }) => notice === undefined)
      .map(({ content, contentState }) => [content, contentState]);
    const { CORRUPTED, UNSPECIFIED } = ContentState;
    assert.deepEqual(shown, [
      ['', CORRUPTED],
      ['', CORRUPTED],
      ['ba', UNSPECIFIED],
    ]);
    assert.equal((await messages().getMessage({ channelId, messageId: third.id })).message?.content, 'ba');
    // A data key of another channel, too.
    await the.owner`
      update channel_keys k set wrapped_key = x.wrapped_key
      from channel_keys x where k.channel_id = ${channelId} and x.channel_id = ${otherId}
    `;
    const there = messages(ana, OTHER).getMessage({ channelId, messageId: third.id });
    await rejects(there, Code.Unavailable, 'ENCRYPTION_KEY_UNAVAILABLE');
  });

  for (const [title, instance] of [
    ['without a key', WITHOUT_KEY],
    ['with another key of the same name', WRONG_KEY],
  ] as const)
    it(`do not affect other channels on an instance ${title}`, async () => {
      const [secretId, plainId] = [await group(), await group(false)];
      const stream = await new Subscriber(events(binh, instance), [secretId, plainId]).connect();
      const secret = await send(secretId, 'bí mật');
      const plain = await send(plainId, 'thường');
      const there = messages(binh, instance);
      const missing = [Code.Unavailable, 'ENCRYPTION_KEY_UNAVAILABLE'] as const;
      await rejects(there.getMessage({ channelId: secretId, messageId: secret.id }), ...missing);
      await rejects(there.listMessages({ channelId: secretId }), ...missing);
      await rejects(there.sendMessage({ channelId: secretId, content: 'mới' }), ...missing);
      await rejects(
        the
          .client(MessageService, chi, 'grpc', instance)
          .sendMessage({ channelId: secretId, content: 'mới' }),
        Code.NotFound,
        'CHANNEL_NOT_FOUND',
      );
      const { entries } = await there.batchGetMessages({ messageIds: [secret.id, plain.id] });
      assert.deepEqual(
        entries.map(({ message }) => [message?.content, message?.contentState]),
        [
          ['', ContentState.KEY_UNAVAILABLE],
          ['thường', ContentState.UNSPECIFIED],
        ],
      );
      await until(() => stream.changes.length === 2, 'both events');
      const states = stream.changes.flatMap(({ change }) =>
        change.case === 'messageCreated'
          ? [`${change.value.message?.content}${change.value.message?.contentState}`]
          : [],
      );
      assert.deepEqual(states.toSorted(), [
        `${ContentState.KEY_UNAVAILABLE}`,
        `thường${ContentState.UNSPECIFIED}`,
      ]);
      assert.deepEqual(stream.faults, []);
      assert.equal((await there.sendMessage({ channelId: plainId, content: 'mới' })).message?.content, 'mới');
      assert.deepEqual(await contents(secretId), ['bí mật']);
      // A member who joins reads everything.
      await the
        .client(MemberService, ana)
        .addMembers({ channelId: secretId, userIds: [3n], role: MemberRole.GUEST });
      const { message } = await messages(chi).getMessage({ channelId: secretId, messageId: secret.id });
      assert.equal(message?.content, 'bí mật');
      await stream.disconnect();
    });
});
