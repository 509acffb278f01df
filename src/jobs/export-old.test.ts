import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, fileApp } from '../../test/kit/app.ts';
import { moveClock } from '../../test/kit/clock.ts';
import { assertNothingToRepair } from '../../test/kit/reconcile.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { canFail } from '../../test/kit/storage.ts';
import { PNG, sha256, upload } from '../../test/kit/uploads.ts';
import { exportOld } from './export-old.ts';
import { advanceRun, beginRun } from './retention-run.ts';

const tenantId = 1n;
const ana: As = { userId: 1n, tenantId };
const binh: As = { userId: 2n, tenantId };
const other: As = { userId: 1n, tenantId: 2n };
const operator: As = { userId: 7n, tenantId: 0n, roles: ['discuss.admin'] };
// The month of a message of today is over for a period of 30 days.
const LATER = 75;

describe('messages whose period of export is over', () => {
  let the: App;

  before(async () => {
    the = await fileApp({
      RETENTION_INTERVAL_MS: '0',
      MAINTENANCE_INTERVAL_MS: '0',
      ATTACHMENT_PURGE_INTERVAL_MS: '0',
    });
    await admin().setRetention({ tenantId, exportDays: 30 });
  });
  after(() => the.close());

  const admin = () => the.client(AdminService, operator);
  const messages = (as = ana) => the.client(MessageService, as);
  const group = async (as = ana) => {
    const { channel } = await the
      .client(ChannelService, as)
      .createChannel({ name: 'Kho', memberUserIds: [2n] });
    return channel?.id ?? 0n;
  };
  const send = async (channelId: bigint, more: object = {}, as = ana) => {
    const { message } = await messages(as).sendMessage({ channelId, content: 'tin', ...more });
    return message?.id ?? 0n;
  };
  const left = async (channelId: bigint) => {
    const rows = await the.owner<{ id: bigint }[]>`
      select id from messages where channel_id = ${channelId} and notice is null order by id
    `;
    return rows.map(({ id }) => id);
  };
  const store = () => {
    const [instance] = the.instances;
    assert.ok(instance);
    return instance.deps.storage;
  };
  const run = async (days: number) => {
    await moveClock(the, days);
    return admin().runRetention({});
  };
  const certificates = () =>
    the.owner<{ details: { channel_id: string; count: number; location: string; sha256: string } }[]>`
      select details from audit_events where tenant_id = ${tenantId} and action = 'MESSAGES_EXPORTED' order by seq
    `;

  it('are written to the store with a certificate, and removed, by whole months', async () => {
    const channelId = await group();
    const edited = await send(channelId, { content: 'trước' });
    const mask = { updateMask: { paths: ['content'] } };
    await messages().editMessage({ channelId, messageId: edited, content: 'sau', ...mask });
    await messages(binh).addReaction({ channelId, messageId: edited, emoji: '👍' });
    const root = await send(channelId);
    const reply = await send(channelId, { replyToMessageId: root }, binh);
    const { id: fileId } = await upload(the.client(AttachmentService, ana), channelId, 'kho.png', PNG);
    const withFile = await send(channelId, { attachmentIds: [fileId] });
    const deleted = await send(channelId);
    await messages().deleteMessage({ channelId, messageId: deleted });
    const pinned = await send(channelId);
    await messages().pinMessage({ channelId, messageId: pinned });
    const last = await send(channelId);
    const kept = [deleted, pinned, last];
    const exported = [edited, root, reply, withFile];

    assert.equal((await run(29)).exportedMessageCount, 0);
    await moveClock(the, LATER);
    const { exportedMessageCount: expected } = await admin().runRetention({ validateOnly: true });
    assert.deepEqual(await left(channelId), [...exported, ...kept]);
    assert.equal((await run(LATER)).exportedMessageCount, expected);
    assert.deepEqual(await left(channelId), kept);
    assert.equal((await admin().listRetentionRuns({})).runs[0]?.exportedMessageCount, BigInt(expected));

    const { details } = (await certificates()).at(-1) ?? {};
    assert.ok(details);
    const key = details.location.replace('s3://attachments/', '');
    const body = await store().readStart(key, 100_000);
    assert.equal(sha256(body).toString('hex'), details.sha256);
    const lines: Record<string, unknown>[] = body
      .toString()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    const ids = lines
      .filter(({ kind, senderId }) => kind === 'message' && senderId !== '0')
      .map(({ id }) => id);
    assert.deepEqual(ids, exported.map(String));
    assert.ok(
      lines.some(({ content, reactions }) => content === 'sau' && JSON.stringify(reactions).includes('👍')),
    );
    assert.ok(lines.some(({ kind, content }) => kind === 'version' && content === 'trước'));
    const file = JSON.stringify(lines.find(({ kind }) => kind === 'file'));
    const copy = /s3:\/\/attachments\/(exports\/[^"]+)/.exec(file)?.[1] ?? '';
    assert.deepEqual(await store().readStart(copy, 1_000), PNG);

    await rejects(messages().getMessage({ channelId, messageId: root }), Code.NotFound, 'MESSAGE_NOT_FOUND');
    const { messages: listed } = await messages().listMessages({ channelId });
    assert.deepEqual(
      listed.map(({ id }) => id).filter((id) => exported.includes(id)),
      [],
    );
    const { entries } = await the.client(MemberService, binh).getUnreadSummary({});
    assert.equal(entries.find((entry) => entry.channelId === channelId)?.unreadCount, 2);
    await assertNothingToRepair(the);
    const { unknownKeys } = await admin().reconcileAttachments({});
    assert.deepEqual(unknownKeys, []);
    const audit = await admin().verifyAuditLog({ tenantId });
    assert.equal(audit.problem, 0);
    assert.equal((await run(LATER)).exportedMessageCount, 0);
  });

  it('remain in other tenants, channels without a period, encrypted ones, and under a legal hold', async () => {
    await the.owner`delete from retention_clock`;
    const [foreign, never, encrypted, held] = [
      await group(other),
      await group(),
      await group(),
      await group(),
    ];
    await admin().setRetention({ tenantId, channelId: never, exportDays: 0 });
    const channels = [
      [foreign, other],
      [never, ana],
      [encrypted, ana],
      [held, ana],
    ] as const;
    for (const [channelId, as] of channels) for (let i = 0; i < 2; i += 1) await send(channelId, {}, as);
    await the.owner`update channels set encrypted_at = 1 where id = ${encrypted}`;
    const { hold } = await admin().placeHold({
      tenantId,
      subject: { case: 'userId', value: 1n },
      reason: 'vụ 1',
    });
    await run(LATER);
    for (const [channelId] of channels) assert.equal((await left(channelId)).length, 2, `${channelId}`);
    await admin().releaseHold({ tenantId, holdId: hold?.id ?? 0n });
    await run(LATER);
    assert.deepEqual(
      await Promise.all(channels.map(async ([channelId]) => (await left(channelId)).length)),
      [2, 2, 2, 1],
    );
  });

  it('remain if they change, or get a hold or a reply, after they were read', async () => {
    await the.owner`delete from retention_clock`;
    const channelId = await group();
    const [first] = [await send(channelId), await send(channelId)];
    await moveClock(the, LATER);
    const read = async () => {
      const [batch] = await the.owner<{ ids: bigint[]; eventSeqs: bigint[] }[]>`
        select ids, event_seqs from next_message_export(${channelId}, 500)
      `;
      assert.ok(batch);
      return batch;
    };
    const remove = async ({ ids, eventSeqs }: Awaited<ReturnType<typeof read>>) => {
      const [row] = await the.owner<{ removed: number }[]>`
        select remove_exported_messages(
          ${tenantId}, ${channelId}, ${ids.map(String)}::bigint[], ${eventSeqs.map(String)}::bigint[], '{}'
        ) as removed
      `;
      return row?.removed;
    };
    let batch = await read();
    await messages().addReaction({ channelId, messageId: first, emoji: '👍' });
    assert.equal(await remove(batch), 0);
    batch = await read();
    const { hold } = await admin().placeHold({
      tenantId,
      subject: { case: 'channelId', value: channelId },
      reason: 'vụ 2',
    });
    assert.equal(await remove(batch), 0);
    await admin().releaseHold({ tenantId, holdId: hold?.id ?? 0n });
    await send(channelId, { replyToMessageId: first });
    assert.equal(await remove(batch), 0);
    assert.equal((await left(channelId)).length, 3);
  });

  it('remain with what changes between the writing of their object and their removal', async () => {
    await the.owner`delete from retention_clock`;
    const poll = { options: ['có', 'không'] };
    const update = { content: 'sau', updateMask: { paths: ['content'] } };
    type Place = { readonly channelId: bigint; readonly messageId: bigint };
    const changes: Record<string, (at: Place) => Promise<unknown>> = {
      '"votes"': (at) => messages(binh).votePoll({ ...at, optionIds: [2] }),
      '"reactions": [{': (at) => messages(binh).addReaction({ ...at, emoji: '👍' }),
      '"pinTime"': (at) => messages().pinMessage(at),
      '"kind": "version"': (at) => messages().editMessage({ ...at, ...update }),
      '"rootMessageId"': (at) => send(at.channelId, { replyToMessageId: at.messageId }, binh),
    };
    const { db, storage: real } = (the.instances[0] ?? assert.fail()).deps;
    for (const [trace, change] of Object.entries(changes)) {
      const channelId = await group();
      const isPoll = trace === '"votes"';
      const messageId = await send(channelId, isPoll ? { type: MessageType.POLL, poll } : {});
      await send(channelId);
      await moveClock(the, LATER);
      const put: string[] = [];
      let isChanged = false;
      const changing = {
        ...real,
        async put(key: string, type: string, body: Buffer) {
          await real.put(key, type, body);
          if (!key.includes(`/${channelId}/`)) return;
          put.push(key);
          if (!isChanged) await change({ channelId, messageId });
          isChanged = true;
        },
      };
      const run = async () => {
        const begun = (await beginRun(db.log, 'test')) ?? assert.fail();
        const count = await exportOld({ db, storage: changing, isClosed: () => false }, begun);
        await advanceRun(db.log, begun, 'exported', 0, { isEnd: true });
        return count;
      };
      await run();
      assert.ok((await left(channelId)).includes(messageId), trace);
      // An object that no certificate states is not kept.
      assert.equal(await real.head(put[0] ?? ''), undefined);
      if (trace === '"pinTime"') await messages().unpinMessage({ channelId, messageId });
      if (trace === '"rootMessageId"') await send(channelId);
      await run();
      assert.ok(!(await left(channelId)).includes(messageId), trace);
      const key = put.at(-1) ?? '';
      assert.equal(put.length, 2);
      const body = `${await real.readStart(key, 100_000)}`;
      if (trace !== '"pinTime"') assert.ok(body.includes(trace), body);
      assert.ok((await certificates()).at(-1)?.details.location.endsWith(key));
    }
  });

  it('are exported by the next run if the store fails', { skip: !canFail }, async () => {
    await the.owner`delete from retention_clock`;
    const channelId = await group();
    for (let i = 0; i < 2; i += 1) await send(channelId);
    await moveClock(the, LATER);
    the.toStore.mode = 'down';
    await rejects(admin().runRetention({}), Code.Unavailable, 'STORAGE_UNAVAILABLE');
    assert.equal((await left(channelId)).length, 2);
    the.toStore.mode = 'pass';
    const { alreadyRunning } = await admin().runRetention({});
    assert.equal(alreadyRunning, false);
    assert.equal((await left(channelId)).length, 1);
  });
});
