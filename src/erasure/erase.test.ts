import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { ErrorInfoSchema } from '#gen/google/rpc/error_details_pb.ts';
import { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { PresenceStatus } from '#gen/serp/discuss/v1/presence_pb.ts';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { type App, type As, fileApp } from '../../test/kit/app.ts';
import { DecodedLog } from '../../test/kit/decoded-log.ts';
import { indexed } from '../../test/kit/indexed.ts';
import { assertNothingToRepair } from '../../test/kit/reconcile.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { findRemains } from '../../test/kit/remains.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';
import { PNG, upload } from '../../test/kit/uploads.ts';

const tenantId = 1n;
const SECRET = 'zuliphonie';
const ana: As = { userId: 1n, tenantId };
const binh: As = { userId: 2n, tenantId, name: `Binh ${SECRET}` };
const crm: As = { userId: 0n, tenantId, roles: ['discuss.service'] };
const operator: As = { userId: 7n, tenantId: 0n, roles: ['discuss.admin'] };
const BINH = { tenantId, userId: binh.userId };

describe('the erasure of a user', () => {
  let the: App;

  before(async () => {
    the = await fileApp({
      RETENTION_INTERVAL_MS: '0',
      OPERATION_POLL_MS: '100',
      ATTACHMENT_PURGE_INTERVAL_MS: '0',
    });
  });
  after(() => the.close());

  const admin = () => the.client(AdminService, operator);
  const messages = (as: As) => the.client(MessageService, as);
  const channels = (as = ana) => the.client(ChannelService, as);
  const group = async (name = 'Kho') =>
    (await channels().createChannel({ name, memberUserIds: [2n] })).channel?.id ?? 0n;
  const send = async (
    as: As,
    channelId: bigint,
    more: Parameters<ReturnType<typeof messages>['sendMessage']>[0] = {},
  ) =>
    (await messages(as).sendMessage({ channelId, content: `của ${SECRET} đây`, ...more })).message?.id ?? 0n;
  const read = async (channelId: bigint) => {
    const log = new DecodedLog();
    const position = { case: 'afterMessageId', value: 0n } as const;
    const page = await messages(ana).listMessages({ channelId, pageSize: 100, position });
    log.load(page.messages, page.headSeq);
    return { log, messages: page.messages, headSeq: page.headSeq };
  };

  it('leaves no content of the user anywhere, keeps the shape of the conversation, and is seen by streams', async () => {
    const [main, archived, deleted, left] = [await group(), await group(), await group(), await group()];
    const question = await send(ana, main, { content: 'hỏi @Binh', mentionUserIds: [2n] });
    const poll = await send(ana, main, {
      content: 'bầu',
      type: MessageType.POLL,
      poll: { options: ['có', 'không'] },
    });
    await messages(binh).votePoll({ channelId: main, messageId: poll, optionIds: [1] });
    await messages(ana).votePoll({ channelId: main, messageId: poll, optionIds: [2] });
    for (const as of [ana, binh])
      await messages(as).addReaction({ channelId: main, messageId: question, emoji: '👍' });
    const said = await send(binh, main, { mentionUserIds: [1n], metadata: { note: SECRET } });
    const updateMask = { paths: ['content'] };
    await messages(binh).editMessage({
      channelId: main,
      messageId: said,
      content: `sửa ${SECRET}`,
      updateMask,
    });
    const answer = await send(ana, main, { content: 'đáp', replyToMessageId: said });
    const reply = await send(binh, main, { replyToMessageId: question });
    const before = await send(binh, main);
    await messages(binh).deleteMessage({ channelId: main, messageId: before });
    const files = the.client(AttachmentService, binh);
    const sent = await upload(files, main, `${SECRET}.png`, PNG);
    const picture = await send(binh, main, { attachmentIds: [sent.id] });
    await upload(files, main, `chưa gửi ${SECRET}.png`, PNG);
    for (const channelId of [archived, deleted, left]) await send(binh, channelId);
    await channels().archiveChannel({ channelId: archived });
    await channels().deleteChannel({ channelId: deleted });
    await the.client(MemberService, binh).leaveChannel({ channelId: left });
    await the.client(PresenceService, binh).setStatus({ status: PresenceStatus.BUSY, text: SECRET });
    await the.client(ActivityService, crm).recordActivities({
      activities: [
        { userIds: [2n], type: 'TASK', channelId: main, description: SECRET },
        { userIds: [1n], actorId: 2n, type: 'TASK', channelId: main, description: `${SECRET} giao việc` },
      ],
    });
    await indexed(the);
    for (let reads = 0; reads < 3; reads += 1) await messages(ana).listMessages({ channelId: main });
    const copy = await read(main);
    const subscriber = await new Subscriber(the.client(EventService, ana), [main]).connect();

    const { counts } = await admin().eraseUser({ ...BINH, validateOnly: true });
    assert.deepEqual([counts?.channelCount, counts?.messageCount, counts?.uploadCount], [4n, 7n, 1n]);
    assert.notDeepEqual(await findRemains(the, SECRET), {});
    const { operation } = await admin().eraseUser(BINH);
    const { operation: done } = await admin().waitOperation({ tenantId, operationId: operation?.id ?? 0n });
    assert.equal(done?.result.case, 'success');
    assert.ok(done.metadata.case === 'eraseUser');
    const erased = done.metadata.value.counts;
    assert.deepEqual(
      [erased?.channelCount, erased?.messageCount, erased?.changedMessageCount, erased?.uploadCount],
      [4n, 7n, 3n, 1n],
    );

    // Keys contain file names. A job deletes the objects, and then these rows, when no URL can write an object again.
    const { object_deletions: queued, ...remains } = await findRemains(the, SECRET);
    assert.deepEqual([queued, remains], [2, {}]);
    const after = await read(main);
    assert.deepEqual(
      after.messages.map(({ id }) => id),
      copy.messages.map(({ id }) => id),
    );
    const find = (id: bigint) => after.messages.find((message) => message.id === id);
    for (const id of [said, before, picture]) assert.notEqual(find(id)?.deleteTime, undefined);
    assert.deepEqual([find(said)?.content, find(said)?.replyCount], ['', 1]);
    assert.deepEqual(find(question)?.mentionUserIds, []);
    assert.deepEqual(
      find(question)?.reactions.map(({ userIds }) => userIds),
      [[1n]],
    );
    assert.deepEqual(
      find(poll)?.poll?.options.map(({ voteCount }) => voteCount),
      [0, 1],
    );
    const { replies } = await messages(ana).listThread({ channelId: main, rootMessageId: said });
    assert.deepEqual(
      replies.map(({ id, content }) => [id, content]),
      [[answer, 'đáp']],
    );
    const thread = await messages(ana).listThread({ channelId: main, rootMessageId: question });
    assert.notEqual(thread.replies.find(({ id }) => id === reply)?.deleteTime, undefined);
    await until(() => subscriber.cursors.get(main) === after.headSeq, 'all events');
    for (const event of subscriber.events) copy.log.apply(event);
    assert.deepEqual(copy.log.messages, after.log.messages);
    await subscriber.disconnect();
    const { activities } = await the.client(ActivityService, binh).listActivities({});
    assert.deepEqual(activities, []);
    await assertNothingToRepair(the);

    const { events } = await admin().listAuditEvents({ tenantId });
    const record = events.find(({ action }) => action === 'OPERATION_SUCCEEDED');
    assert.equal(record?.details?.['user_id'], '2');
    assert.equal((await admin().verifyAuditLog({ tenantId })).problemSeq, 0n);
  });

  it('is rejected while a legal hold concerns the user, and fails if one is placed meanwhile', async () => {
    const channelId = await group();
    await send(binh, channelId);
    for (const subject of [
      { case: 'userId', value: 2n },
      { case: 'channelId', value: channelId },
    ] as const) {
      const { hold } = await admin().placeHold({ tenantId, subject, reason: 'Vụ 1' });
      for (const validateOnly of [true, false]) {
        const response = admin().eraseUser({ ...BINH, validateOnly });
        const error = await rejects(response, Code.FailedPrecondition, 'LEGAL_HOLD');
        const [info] = error.findDetails(ErrorInfoSchema);
        assert.equal(info?.metadata['hold_id'], `${hold?.id}`);
      }
      await admin().releaseHold({ tenantId, holdId: hold?.id ?? 0n });
    }
    const { operation, release } = await startHeld();
    const subject = { case: 'channelId', value: channelId } as const;
    const { hold } = await admin().placeHold({ tenantId, subject, reason: 'Vụ 2' });
    await release();
    const { operation: failed } = await admin().waitOperation({ tenantId, operationId: operation });
    assert.ok(failed?.result.case === 'error');
    assert.equal(failed.result.value.code, Code.FailedPrecondition);
    const { messages: kept } = await messages(ana).listMessages({ channelId });
    assert.ok(kept.some(({ content }) => content.includes(SECRET)));
    await admin().releaseHold({ tenantId, holdId: hold?.id ?? 0n });
  });

  it('is one operation for repeated calls, which can be cancelled, and resumed after its instance ended', async () => {
    const channelId = await group();
    await send(binh, channelId);
    const first = await startHeld();
    assert.equal((await admin().eraseUser(BINH)).operation?.id, first.operation);
    const get = { tenantId, operationId: first.operation };
    const waited = await admin().waitOperation({ ...get, timeout: { seconds: 0n, nanos: 1 } });
    assert.equal(waited.operation?.done, false);
    const { operation: cancelled } = await admin().cancelOperation(get);
    assert.ok(cancelled?.result.case === 'error');
    assert.equal(cancelled.result.value.code, Code.Canceled);
    await assert.rejects(first.advance(), { code: '40001' });
    assert.deepEqual((await admin().cancelOperation(get)).operation, cancelled);
    assert.deepEqual((await admin().getOperation(get)).operation, cancelled);

    const second = await startHeld();
    await second.advance();
    await second.release();
    const { operation } = await admin().waitOperation({ tenantId, operationId: second.operation });
    assert.deepEqual([operation?.result.case, operation?.attemptCount], ['success', 2]);
    assert.ok(operation?.metadata.case === 'eraseUser');
    // What the first instance has recorded, and what the second has done.
    assert.deepEqual(operation.metadata.value.counts?.messageCount, 12n);
    await assert.rejects(second.advance(), { code: '40001' });
    const foreign = admin().getOperation({ tenantId: 2n, operationId: second.operation });
    await rejects(foreign, Code.InvalidArgument, 'FIELD_INVALID');

    const { operations } = await admin().listOperations({ tenantId, pageSize: 2 });
    assert.deepEqual(
      operations.map(({ id }) => id),
      [second.operation, first.operation],
    );
    await the.owner`update operations set finished_at = now_ms() - 31 * 86400000::bigint where id = ${first.operation}`;
    await until(async () =>
      (await admin().listOperations({ tenantId })).operations.every(({ id }) => id !== first.operation),
    );
  });

  /** Starts an operation that an instance has claimed which does not continue. */
  async function startHeld() {
    const [row] = await the.owner<{ id: bigint; attempt: number }[]>`
      with started as materialized (
        insert into operations (tenant_id, kind, user_id, created_at, created_by, updated_at, due_at, attempt, instance)
        values (${tenantId}, 'ERASE_USER', 2, now_ms(), 7, now_ms(), now_ms() + 600000, 1, 'killed')
        returning id, attempt
      )
      select id, attempt from started
    `;
    const { id = 0n, attempt = 0 } = row ?? {};
    return {
      operation: id,
      advance: () => the.owner`select advance_operation(${id}, ${attempt}, '{}', '{"messages": 10}', 600000)`,
      release: () => the.owner`update operations set due_at = now_ms() where id = ${id}`,
    };
  }
});
