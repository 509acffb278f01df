import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, fileApp } from '../../test/kit/app.ts';
import { canFail } from '../../test/kit/storage.ts';
import { until } from '../../test/kit/until.ts';
import { PNG, upload, uploadOf } from '../../test/kit/uploads.ts';

const ana = { userId: 1n, tenantId: 1n };

describe('objects of removed files', () => {
  let the: App;
  let channelId: bigint;

  before(async () => {
    the = await fileApp({
      ATTACHMENT_PURGE_INTERVAL_MS: '50',
      RETENTION_INTERVAL_MS: '100',
    });
    await the.start();
    channelId = await group();
  });
  after(() => the.close());

  const files = () => the.client(AttachmentService, ana);
  const messages = () => the.client(MessageService, ana);
  const store = () => {
    const instance = the.instances[0];
    assert.ok(instance);
    return instance.deps.storage;
  };

  async function group(): Promise<bigint> {
    const { channel } = await the.client(ChannelService, ana).createChannel({ name: 'Kho' });
    return channel?.id ?? 0n;
  }

  async function send(to = channelId) {
    const { id } = await upload(files(), to, 'kho.png', PNG);
    const { message } = await messages().sendMessage({ channelId: to, attachmentIds: [id] });
    // As if the URL for uploading had expired.
    const [row] = await the.owner<{ s3Key: string }[]>`
      update attachments set urls_expire_at = 0 where id = ${id} returning s3_key
    `;
    return { attachmentId: id, messageId: message?.id ?? 0n, key: row?.s3Key ?? '' };
  }

  const exists = async (key: string) => (await store().head(key)) !== undefined;
  const untilDeleted = (key: string) => until(async () => !(await exists(key)), 'the deletion');
  const usage = async () => {
    const rows = await the.owner<{ bytes: bigint }[]>`
      select u.bytes - (select coalesce(sum(file_size), 0) from attachments)::bigint as bytes from storage_usage u
    `;
    return rows.map(({ bytes }) => bytes);
  };

  it('are deleted after the file, its message or its channel, and others remain', async () => {
    const kept = await send();
    const [file, message] = [await send(), await send()];
    const other = await group();
    const channel = await send(other);
    await files().deleteAttachment({ channelId, attachmentId: file.attachmentId });
    await messages().deleteMessage({ channelId, messageId: message.messageId });
    await the.client(ChannelService, ana).deleteChannel({ channelId: other });
    await the.owner`update channels set deleted_at = ${Date.now() - 91 * 86_400_000} where id = ${other}`;
    for (const { key } of [file, message, channel]) await untilDeleted(key);
    assert.ok(await exists(kept.key));
    assert.deepEqual(await usage(), [0n, 0n]);
    await until(async () => (await the.owner`select from object_deletions`).length === 0);
  });

  it('are deleted when an upload is abandoned', async () => {
    const { id } = await upload(files(), channelId, 'a.png', PNG);
    const bytes = Buffer.alloc(17 << 20);
    const { attachment } = await files().createUpload(uploadOf(channelId, 'b', bytes));
    const rows = await the.owner<{ s3Key: string; uploadId: string | null }[]>`
      update attachments
      set created_at = ${Date.now() - 25 * 3_600_000}, urls_expire_at = 0
      where id in (${id}, ${attachment?.id ?? 0n})
      returning s3_key, upload_id
    `;
    assert.equal(rows.length, 2);
    for (const { s3Key, uploadId } of rows) {
      await untilDeleted(s3Key);
      if (uploadId !== null)
        await until(
          async () => (await store().listParts(s3Key, uploadId)) === undefined,
          'the end of the upload',
        );
    }
    assert.deepEqual(await usage(), [0n, 0n]);
  });

  it('are not deleted before the last URL that could write them again has expired', async () => {
    const { id } = await upload(files(), channelId, 'a.png', PNG);
    const [row] = await the.owner<{ s3Key: string; urlsExpireAt: bigint }[]>`
      select s3_key, urls_expire_at from attachments where id = ${id}
    `;
    await files().abortUpload({ channelId, attachmentId: id });
    const due = await the.owner<{ dueAt: bigint }[]>`
      update object_deletions set due_at = 0 where s3_key = ${row?.s3Key ?? ''} and due_at = ${row?.urlsExpireAt ?? 0n}
      returning due_at
    `;
    assert.equal(due.length, 1);
    assert.ok(Number(row?.urlsExpireAt) > Date.now());
    await untilDeleted(row?.s3Key ?? '');
  });

  it('are compared with the files, and unknown ones are deleted on request', async () => {
    const admin = the.client(AdminService, { userId: 0n, tenantId: 0n, roles: ['discuss.admin'] });
    const reconcile = async (rest: object = {}) => {
      const pages = [];
      for (let startAfter = ''; ; ) {
        const page = await admin.reconcileAttachments({ startAfter, maxObjects: 2, ...rest });
        pages.push(page);
        if (page.lastKey === '') break;
        startAfter = page.lastKey;
      }
      return {
        checked: pages.reduce((sum, page) => sum + page.checkedAttachmentCount, 0),
        unknown: pages.flatMap((page) => page.unknownKeys),
        missing: pages.flatMap((page) => page.missingAttachmentIds),
      };
    };
    const sent = [await send(), await send(), await send(), await send()];
    const [lost] = sent;
    await files().createUpload(uploadOf(channelId, 'open.png', PNG));
    const [count] = await the.owner<{ n: number }[]>`
      select count(*)::int as n from attachments where upload_state = 'UPLOADED'
    `;
    const clean = await reconcile();
    assert.deepEqual(clean, { checked: count?.n, unknown: [], missing: [] });
    await store().remove(lost?.key ?? '');
    const keys = ['0/x', '1/lạ', 'zzz'];
    for (const key of keys) await store().put(key, 'text/plain', PNG);
    assert.deepEqual(await reconcile(), { checked: count?.n, unknown: keys, missing: [lost?.attachmentId] });
    await reconcile({ deleteUnknown: true });
    for (const key of keys) await untilDeleted(key);
    const { storage: stats } = await admin.getStats({ tenantId: 1n });
    assert.ok(stats !== undefined && stats.fileCount > 4n && stats.byteCount >= 4n * BigInt(PNG.length));
    assert.equal((await admin.getStats({ tenantId: 99n })).storage?.fileCount, 0n);
    for (const { attachmentId } of sent) await files().deleteAttachment({ channelId, attachmentId });
  });

  it('are deleted later if the store is down', { skip: !canFail }, async () => {
    const { key, messageId } = await send();
    the.toStore.mode = 'down';
    await messages().deleteMessage({ channelId, messageId });
    const tried = () => the.owner`select from object_deletions where s3_key = ${key} and attempts > 0`;
    await until(async () => (await tried()).length === 1, 'an attempt to delete it');
    the.toStore.mode = 'pass';
    assert.ok(await exists(key));
    await the.owner`update object_deletions set due_at = 0`;
    await untilDeleted(key);
  });
});
