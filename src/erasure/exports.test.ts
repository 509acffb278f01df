import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, fileApp } from '../../test/kit/app.ts';
import { moveClock } from '../../test/kit/clock.ts';
import { indexed } from '../../test/kit/indexed.ts';
import { PNG, sha256, upload } from '../../test/kit/uploads.ts';

const tenantId = 1n;
const SECRET = 'zuliphonie';
const ana: As = { userId: 1n, tenantId };
const binh: As = { userId: 2n, tenantId, name: `Binh ${SECRET}` };
const operator: As = { userId: 7n, tenantId: 0n, roles: ['discuss.admin'] };
const LATER = 75;
const SPAN = 30_000_000n;

describe('exported months', () => {
  let the: App;

  before(async () => {
    the = await fileApp({
      RETENTION_INTERVAL_MS: '0',
      MAINTENANCE_INTERVAL_MS: '0',
      OPERATION_POLL_MS: '100',
      ATTACHMENT_PURGE_INTERVAL_MS: '0',
    });
    await admin().setRetention({ tenantId, exportDays: 30 });
  });
  after(() => the.close());

  const admin = () => the.client(AdminService, operator);
  const messages = (as = ana) => the.client(MessageService, as);
  const group = async (...memberUserIds: bigint[]) =>
    (await the.client(ChannelService, ana).createChannel({ name: 'Kho', memberUserIds })).channel?.id ?? 0n;
  const send = async (as: As, channelId: bigint, more: object = {}) =>
    (await messages(as).sendMessage({ channelId, content: 'tin', ...more })).message?.id ?? 0n;
  /** Continues with the ids of another partition. */
  const nextSpan = async (span: bigint) => {
    await the.owner`select setval('messages_id_seq', ${span * SPAN})`;
    await admin().ensurePartitions({});
  };
  const runRetention = async () => {
    // What is indexed after its partition was dropped would go to the default partition.
    await indexed(the);
    await moveClock(the, LATER);
    const { droppedPartitions } = await admin().runRetention({});
    await the.owner`delete from retention_clock`;
    // Not the days of the log, which the clock also ends.
    return droppedPartitions.filter((name) => name.startsWith('message'));
  };
  const store = () => (the.instances[0] ?? assert.fail()).deps.storage;
  const objects = async () => {
    const keys = await store().list(`exports/${tenantId}/`, '', 1_000);
    return new Map(
      await Promise.all(keys.map(async (key) => [key, await store().readStart(key, 100_000)] as const)),
    );
  };
  const linesOf = (body: Buffer | undefined): Record<string, unknown>[] =>
    `${body}`
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
  const certificates = (action: string) =>
    the.owner<{ details: Record<string, string> }[]>`
      select details from audit_events where tenant_id = ${tenantId} and action = ${action} order by seq
    `.then((rows) => rows.map(({ details }) => details));
  const erase = async () => {
    const { operation } = await admin().eraseUser({ tenantId, userId: binh.userId });
    const { operation: done } = await admin().waitOperation({ tenantId, operationId: operation?.id ?? 0n });
    assert.equal(done?.result.case, 'success');
    assert.ok(done.metadata.case === 'eraseUser');
    const { exportedObjectCount, exportedMessageCount } = done.metadata.value.counts ?? assert.fail();
    return [exportedObjectCount, exportedMessageCount];
  };

  it('leave no empty partition, but one with a message that remains', async () => {
    const [main, other] = [await group(2n), await group()];
    for (const channelId of [main, other]) await send(ana, channelId);
    await nextSpan(1n);
    for (const channelId of [main, other]) await send(ana, channelId);
    const pinned = { channelId: main, messageId: await send(ana, main) };
    await messages().pinMessage(pinned);
    await nextSpan(2n);
    for (const channelId of [main, other]) await send(ana, channelId);
    assert.deepEqual(await runRetention(), ['message_words_p000001', 'messages_p000001']);
    const { message } = await messages().getMessage(pinned);
    assert.equal(message?.content, 'tin');
    await messages().unpinMessage(pinned);
    assert.deepEqual(await runRetention(), ['message_words_p000002', 'messages_p000002']);
    assert.deepEqual(await runRetention(), []);
    const { messages: left } = await messages().listMessages({ channelId: main });
    assert.equal(left.length, 1);
    await the.owner`select ensure_partitions()`;
    const [row] = await the.owner<
      { old: boolean }[]
    >`select to_regclass('messages_p000001') is not null as old`;
    assert.equal(row?.old, false);
  });

  it('lose what a user wrote, and traces of the user, with a certificate for each changed object', async () => {
    const [main, without] = [await group(2n), await group()];
    const question = await send(ana, main, { content: 'hỏi @Binh', mentionUserIds: [2n] });
    for (const as of [ana, binh])
      await messages(as).addReaction({ channelId: main, messageId: question, emoji: '👍' });
    const poll = await send(ana, main, { type: MessageType.POLL, poll: { options: ['có', 'không'] } });
    await messages(binh).votePoll({ channelId: main, messageId: poll, optionIds: [1] });
    await messages(ana).votePoll({ channelId: main, messageId: poll, optionIds: [2] });
    const said = await send(binh, main, { content: SECRET, metadata: { note: SECRET } });
    const edit = { content: `sửa\u2028 ${SECRET}`, updateMask: { paths: ['content'] } };
    await messages(binh).editMessage({ channelId: main, messageId: said, ...edit });
    const answer = await send(ana, main, { content: 'đáp\u2028lại', replyToMessageId: said });
    const file = await upload(the.client(AttachmentService, binh), main, `${SECRET}.png`, PNG);
    const picture = await send(binh, main, { attachmentIds: [file.id] });
    await the.client(MemberService, binh).leaveChannel({ channelId: main });
    for (const channelId of [main, without, main, without]) await send(ana, channelId);
    await runRetention();
    const before = await objects();
    const keyOf = (channelId: bigint) =>
      [...before.keys()].find((key) => key.includes(`/${channelId}/`) && key.endsWith('.ndjson')) ?? '';
    const old = linesOf(before.get(keyOf(main)));
    assert.ok([...before.values()].some((body) => body.includes(SECRET)));

    the.toStore.mode = 'down';
    const { operation } = await admin().eraseUser({ tenantId, userId: binh.userId });
    await admin().waitOperation({
      tenantId,
      operationId: operation?.id ?? 0n,
      timeout: { seconds: 1n, nanos: 0 },
    });
    the.toStore.mode = 'pass';
    assert.deepEqual(await erase(), [1n, 2n]);

    const after = await objects();
    assert.ok(![...after.values()].some((body) => body.includes(SECRET)));
    assert.deepEqual(after.get(keyOf(without)), before.get(keyOf(without)));
    assert.ok(![...after.keys()].some((key) => key.includes('/files/')));
    const [rewritten, ...others] = await certificates('EXPORT_ERASED');
    assert.equal(others.length, 0);
    assert.ok(rewritten?.['previousLocation']?.endsWith(keyOf(main)));
    assert.equal(after.has(keyOf(main)), false);
    const key = rewritten?.['location']?.replace('s3://attachments/', '') ?? '';
    const body = after.get(key) ?? Buffer.alloc(0);
    assert.equal(sha256(body).toString('hex'), rewritten?.['sha256']);
    const lines = linesOf(body);
    const find = (id: bigint) => lines.find((line) => line['kind'] === 'message' && line['id'] === `${id}`);
    const places = (all: typeof lines) =>
      all.flatMap(({ kind, id, position, senderId }) =>
        kind === 'message' ? [[id, position, senderId]] : [],
      );
    assert.deepEqual(places(lines), places(old));
    for (const id of [said, picture])
      assert.deepEqual([find(id)?.['content'], find(id)?.['erased']], ['', true]);
    const text = old.find((line) => line['id'] === `${answer}`);
    assert.deepEqual(find(answer), text);
    assert.equal(find(question)?.['content'], 'hỏi @Binh');
    assert.deepEqual(find(question)?.['mentionUserIds'], []);
    assert.deepEqual(find(question)?.['reactions'], [{ emoji: '👍', userIds: ['1'] }]);
    assert.deepEqual(find(poll)?.['votes'], [{ userId: '1', optionId: 2 }]);
    assert.equal((await admin().verifyAuditLog({ tenantId })).problemSeq, 0n);

    assert.deepEqual(await erase(), [0n, 0n]);
    assert.deepEqual([...(await objects()).keys()], [...after.keys()]);
  });

  it('lose the objects that an instance had replaced when it ended', async () => {
    const key = `exports/${tenantId}/2026-01/5/1-2.0123456789abcdef.ndjson`;
    await store().put(key, 'application/x-ndjson', Buffer.from('{}\n'));
    await the.owner`
      insert into operations (tenant_id, kind, user_id, created_at, created_by, updated_at, due_at, progress)
      values (
        ${tenantId}, 'ERASE_USER', 2, 1, 7, 1, 0, ${JSON.stringify({ exportKey: key, remove: [key] })}::text::jsonb
      )
    `;
    await erase();
    assert.equal(await store().head(key), undefined);
  });

  it('remain while a legal hold concerns their channel', async () => {
    const channelId = await group(2n);
    for (const as of [binh, ana]) await send(as, channelId, { content: `giữ ${SECRET}` });
    await runRetention();
    const subject = { case: 'channelId', value: channelId } as const;
    const { hold } = await admin().placeHold({ tenantId, subject, reason: 'vụ 1' });
    // Begun before the hold, and now at its last part.
    const [row] = await the.owner<{ id: bigint }[]>`
      insert into operations (tenant_id, kind, user_id, created_at, created_by, updated_at, due_at, progress)
      values (${tenantId}, 'ERASE_USER', 2, 1, 7, 1, 0, '{"exportKey": ""}')
      returning id
    `;
    const { operation } = await admin().waitOperation({ tenantId, operationId: row?.id ?? 0n });
    assert.ok(operation?.result.case === 'error');
    const has = async () => [...(await objects()).values()].some((body) => body.includes(`giữ ${SECRET}`));
    assert.ok(await has());
    await admin().releaseHold({ tenantId, holdId: hold?.id ?? 0n });
    assert.deepEqual(await erase(), [1n, 1n]);
    assert.equal(await has(), false);
  });
});
