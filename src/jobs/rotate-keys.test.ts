import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import type { KeyRotation } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, CONCURRENT, fileApp } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';
import { PNG, upload } from '../../test/kit/uploads.ts';

const ana: As = { userId: 1n, tenantId: 1n };
const operator: As = { userId: 7n, tenantId: 0n, roles: ['discuss.admin'] };
const [oldKey, newKey] = ['old', 'new'].map((id) => `${id}=${randomBytes(32).toString('base64')}`);
const [OLD_FIRST, NEW_FIRST, NO_KEY, ONLY_NEW] = [0, 1, 2, 3];
// Of each writer: all messages of the channel fit in a page of 100.
const MAX_SENT = 40;

describe('a rotation of keys', () => {
  let the: App;

  before(async () => {
    the = await fileApp({
      ...CONCURRENT,
      ENCRYPTION_KEYS: `${oldKey},${newKey}`,
      ENCRYPTION_ROTATION_INTERVAL_MS: '50',
      EVENT_REPLAY_EVENTS: '1000',
    });
    await the.start({ ENCRYPTION_KEYS: `${newKey},${oldKey}` });
    await the.start({ ENCRYPTION_KEYS: '' });
    // It could not read keys that are encrypted with the old one.
    await the.start({ ENCRYPTION_KEYS: newKey ?? '', ENCRYPTION_ROTATION_INTERVAL_MS: '0' });
  });
  after(() => the.close());

  const admin = (instance = NEW_FIRST) => the.client(AdminService, operator, 'grpc', instance);
  const messages = (instance = OLD_FIRST) => the.client(MessageService, ana, 'grpc', instance);
  const group = async () => {
    const request = { name: 'Kho', private: true, encrypted: true };
    const { channel } = await the.client(ChannelService, ana).createChannel(request);
    return channel?.id ?? 0n;
  };
  const send = async (channelId: bigint, content: string, rest: object = {}, instance = OLD_FIRST) => {
    const { message } = await messages(instance).sendMessage({ channelId, content, ...rest });
    assert.equal(message?.content, content);
    return message;
  };
  const contents = async (channelId: bigint, instance: number) => {
    const { messages: page } = await messages(instance).listMessages({ channelId, pageSize: 100 });
    return page.filter(({ notice }) => notice === undefined).map(({ content }) => content);
  };
  const keysOf = async (channelId: bigint) => {
    const rows = await the.owner<{ id: bigint; keyId: string }[]>`
      select id, key_id from channel_keys where channel_id = ${channelId} order by id
    `;
    return rows.map(({ id, keyId }) => ({ id, keyId }));
  };
  const rotate = async (request: object): Promise<KeyRotation> => {
    const { rotation, alreadyRunning } = await admin().startKeyRotation(request);
    assert.equal(alreadyRunning, false);
    let found: KeyRotation | undefined;
    await until(async () => {
      const { rotations } = await admin().listKeyRotations({ pageSize: 10 });
      found = rotations.find(({ id }) => id === rotation?.id);
      return found?.endTime !== undefined;
    }, 'the end of the rotation');
    return found ?? assert.fail();
  };

  it('encrypts data keys with the first key of the configuration, so that the old one can be removed', async () => {
    const channelId = await group();
    await send(channelId, 'một');
    assert.deepEqual(
      (await keysOf(channelId)).map(({ keyId }) => keyId),
      ['old'],
    );
    const before = await keysOf(channelId);
    const rotation = await rotate({});
    assert.deepEqual([rotation.keyId, rotation.failedCount, rotation.replacedKeyCount], ['new', 0n, 0n]);
    assert.ok(rotation.rewrappedKeyCount >= 1n);
    assert.deepEqual(await keysOf(channelId), [{ id: before[0]?.id, keyId: 'new' }]);
    const { keys } = await admin().listKeyRotations({});
    assert.deepEqual(
      keys.map(({ keyId }) => keyId),
      ['new'],
    );
    assert.deepEqual(await contents(channelId, ONLY_NEW), ['một']);
    assert.deepEqual(await contents(channelId, OLD_FIRST), ['một']);
  });

  it('replaces data keys and encrypts everything again while members send, edit and read', async () => {
    const [channelId, otherId] = [await group(), await group()];
    const stream = await new Subscriber(the.client(EventService, ana), [channelId]).connect();
    const edited = await send(channelId, 'trước');
    const change = { channelId, messageId: edited.id, updateMask: { paths: ['content'] } };
    await messages().editMessage({ ...change, content: 'đã sửa' });
    const poll = { type: MessageType.POLL, poll: { options: ['có', 'không'] } };
    const { id: pollId } = await send(channelId, 'hỏi', poll);
    await messages().votePoll({ channelId, messageId: pollId, optionIds: [1] });
    const file = await upload(the.client(AttachmentService, ana), channelId, 'kho.png', PNG);
    await messages().sendMessage({ channelId, attachmentIds: [file.id] });
    const request = { channelId, content: 'lặp lại', requestId: randomUUID() };
    const repeated = await messages().sendMessage(request);
    await contents(channelId, OLD_FIRST);
    await contents(channelId, OLD_FIRST);
    const [old] = await keysOf(channelId);
    const [otherKey] = await keysOf(otherId);

    let busy = true;
    const sent: string[] = [];
    const writers = [OLD_FIRST, NEW_FIRST].map(async (instance) => {
      for (let index = 0; index < MAX_SENT && (busy || index < 5); index += 1) {
        const text = `tin ${instance} ${index}`;
        const { id } = await send(channelId, text, {}, instance);
        sent.push(text);
        if (index % 4 === 0)
          await messages(instance).editMessage({
            channelId,
            messageId: id,
            content: text,
            mentionUserIds: [1n],
            updateMask: { paths: ['mention_user_ids'] },
          });
      }
    });
    const rotation = await rotate({ tenantId: 1n, channelId, replaceDataKeys: true });
    busy = false;
    await Promise.all(writers);
    assert.deepEqual([rotation.replacedKeyCount, rotation.failedCount], [1n, 0n]);
    assert.ok(rotation.reencryptedRowCount >= 10n);

    const keys = await keysOf(channelId);
    assert.equal(keys.length, 2, 'the old one is kept for repeated calls');
    assert.deepEqual(await keysOf(otherId), [otherKey]);
    const prefix = Buffer.alloc(9, 1);
    prefix.writeBigInt64BE(old?.id ?? 0n, 1);
    const [left] = await the.owner`
      select
        (select count(*) from messages where substr(encrypted_content, 1, 9) = ${prefix}) as messages,
        (select count(*) from message_edits where substr(encrypted_content, 1, 9) = ${prefix}) as edits,
        (select count(*) from attachments where substr(encrypted_name, 1, 9) = ${prefix}) as files,
        (select count(*) from channel_events where position(${prefix} in payload) > 0) as events
    `;
    assert.deepEqual({ ...left }, { messages: 0n, edits: 0n, files: 0n, events: 0n });

    const again = await messages().sendMessage(request);
    assert.equal(again.message?.id, repeated.message?.id);
    // Without the old key in memory, and without it in the database.
    await the.owner`update channel_keys set reencrypted_at = 1 where id = ${old?.id ?? 0n}`;
    await until(async () => (await keysOf(channelId)).length === 1, 'the removal of the old key');
    const fresh = ONLY_NEW;
    const expected = ['đã sửa', 'hỏi', '', 'lặp lại', ...sent];
    for (const instance of [OLD_FIRST, NEW_FIRST, fresh])
      assert.deepEqual((await contents(channelId, instance)).toSorted(), expected.slice().sort());
    const { versions } = await messages(fresh).listEdits({ channelId, messageId: edited.id });
    assert.deepEqual(
      versions.map(({ content }) => content),
      ['trước'],
    );
    const { poll: shown } = await messages(fresh).getPoll({ channelId, messageId: pollId });
    assert.deepEqual(
      shown?.options.map(({ text }) => text),
      ['có', 'không'],
    );
    const { attachments } = await the
      .client(AttachmentService, ana, 'grpc', fresh)
      .listAttachments({ channelId });
    assert.deepEqual(
      attachments.map(({ fileName }) => fileName),
      ['kho.png'],
    );

    await until(() => stream.changes.length >= 6 + sent.length, 'events');
    assert.deepEqual(stream.faults, []);
    const replay = new Subscriber(the.client(EventService, ana, 'grpc', fresh), [channelId]);
    replay.cursors.set(channelId, 1n);
    await replay.connect();
    await until(() => replay.changes.length >= stream.changes.length, 'the replay');
    const textsOf = ({ changes }: Subscriber) =>
      changes.flatMap(({ change: { case: kind, value } }) =>
        kind === 'messageCreated' || kind === 'messageEdited' ? [value.message?.content] : [],
      );
    assert.deepEqual(textsOf(replay).slice(-sent.length), textsOf(stream).slice(-sent.length));
    assert.ok(
      !textsOf(replay)
        .slice(1)
        .some((text, index) => text === '' && expected[index] !== ''),
    );
    await Promise.all([stream.disconnect(), replay.disconnect()]);
  });

  it('continues on another instance, and reports what cannot be decrypted', async () => {
    const channelId = await group();
    for (const text of ['một', 'hai', 'ba']) await send(channelId, text);
    const [broken] = await the.owner<{ id: bigint }[]>`
      update messages set encrypted_content = set_byte(encrypted_content, 40, get_byte(encrypted_content, 40) # 1)
      where id = (select max(id) from messages where channel_id = ${channelId})
      returning id
    `;
    const [left] = await the.owner<{ id: bigint }[]>`
      insert into key_rotations (tenant_id, channel_id, key_id, replaces_keys, started_at, lease_until, attempt, instance)
      values (1, ${channelId}, 'new', true, now_ms(), now_ms() + 3600000, 1, 'killed')
      returning id
    `;
    const running = await admin().startKeyRotation({});
    assert.deepEqual([running.alreadyRunning, running.rotation?.id], [true, left?.id]);
    await the.owner`update key_rotations set lease_until = 0 where id = ${left?.id ?? 0n}`;
    await until(async () => {
      const { rotations } = await admin().listKeyRotations({ pageSize: 1 });
      return rotations[0]?.endTime !== undefined && rotations[0].attemptCount === 2;
    }, 'its continuation');
    const { rotations } = await admin().listKeyRotations({ pageSize: 1 });
    assert.deepEqual([rotations[0]?.failedCount, rotations[0]?.replacedKeyCount], [1n, 1n]);
    assert.deepEqual(await contents(channelId, NEW_FIRST), ['một', 'hai', '']);
    assert.equal((await keysOf(channelId)).length, 2, 'its key is kept');
    await rejects(
      messages().getMessage({ channelId, messageId: broken?.id ?? 0n }),
      Code.DataLoss,
      'CONTENT_CORRUPTED',
    );
    await rejects(admin(NO_KEY).startKeyRotation({}), Code.FailedPrecondition, 'ENCRYPTION_NOT_CONFIGURED');
  });
});
