import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { equals } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import {
  AttachmentService,
  ListAttachmentsRequest_Kind as Kind,
} from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageSchema, MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { SearchService } from '#gen/serp/discuss/v1/search_service_pb.ts';
import { type App, type As, fileApp } from '../../test/kit/app.ts';
import { DecodedLog } from '../../test/kit/decoded-log.ts';
import { indexed } from '../../test/kit/indexed.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';
import { PNG, upload } from '../../test/kit/uploads.ts';

const user = (userId: bigint, tenantId = 1n): As => ({ userId, tenantId });
const [ana, binh] = [user(1n), user(2n)];

describe('attachments of messages', () => {
  let the: App;
  let channelId: bigint;

  before(async () => {
    the = await fileApp({
      ATTACHMENT_PURGE_INTERVAL_MS: '50',
      ENCRYPTION_KEYS: `k1=${randomBytes(32).toString('base64')}`,
    });
    channelId = await group();
  });
  after(() => the.close());

  const files = (as = ana) => the.client(AttachmentService, as);
  const messages = (as = ana) => the.client(MessageService, as);
  const image = async (name = 'kho.png', as = ana, to = channelId) =>
    (await upload(files(as), to, name, PNG)).id;
  const text = async (name = 'bảng kê.csv') =>
    (await upload(files(), channelId, name, Buffer.from('a,b'), 'text/csv')).id;
  const send = (attachmentIds: bigint[], rest: object = {}, as = ana) =>
    messages(as).sendMessage({ channelId, attachmentIds, ...rest });

  async function group(encrypted = false): Promise<bigint> {
    const { channel } = await the
      .client(ChannelService, ana)
      .createChannel({ name: 'Kho', memberUserIds: [2n], private: encrypted, encrypted });
    return channel?.id ?? 0n;
  }

  it('are sent with or without text, in order, and every reader sees the same', async () => {
    const subscriber = await new Subscriber(the.client(EventService, binh), [channelId]).connect();
    const ids = [await image('hai.png'), await image('một.png')];
    const { message: images } = await send(ids);
    const { message: mixed } = await send([await text(), await image()], { content: 'bảng kê' });
    assert.deepEqual([images?.type, mixed?.type], [MessageType.IMAGE, MessageType.FILE]);
    assert.deepEqual(
      images?.attachments.map(({ id }) => id),
      ids,
    );
    assert.deepEqual(
      images?.attachments.map(({ fileName }) => fileName),
      ['hai.png', 'một.png'],
    );
    const listed = (await messages(binh).listMessages({ channelId })).messages.slice(-2);
    const again = (await messages(binh).listMessages({ channelId })).messages.slice(-2);
    const cached = (await messages(binh).listMessages({ channelId })).messages.slice(-2);
    for (const page of [listed, again, cached])
      for (const [index, message] of [images, mixed].entries())
        assert.ok(message && equals(MessageSchema, page[index] ?? message, message));
    await until(() => subscriber.events.length >= 2);
    const projection = new DecodedLog();
    for (const event of subscriber.events) projection.apply(event);
    for (const message of listed)
      assert.ok(equals(MessageSchema, projection.messages.get(message.id) ?? message, message));
    await subscriber.disconnect();
  });

  it('belong to one message of their uploader and channel', async () => {
    const other = await group();
    const id = await image();
    const taken = await image();
    await send([taken]);
    const unfinished = await files().createUpload({
      channelId,
      fileName: 'x',
      size: 1n,
      partSha256: [new Uint8Array(32)],
      requestId: crypto.randomUUID(),
    });
    for (const ids of [[taken], [id, taken], [id, 999_999n], [unfinished.attachment?.id ?? 0n]])
      await rejects(send(ids), Code.NotFound, 'ATTACHMENT_NOT_FOUND');
    await rejects(send([id], {}, binh), Code.NotFound, 'ATTACHMENT_NOT_FOUND');
    await rejects(send([id], { channelId: other }), Code.NotFound, 'ATTACHMENT_NOT_FOUND');
    await rejects(send([id, id]), Code.InvalidArgument, 'FIELD_INVALID');
    await rejects(send([id], { type: MessageType.CODE }), Code.InvalidArgument, 'FIELD_INVALID');
    await rejects(send([id], { content: ' ' }), Code.InvalidArgument, 'FIELD_INVALID');
    await rejects(send([]), Code.InvalidArgument, 'FIELD_INVALID');
    await rejects(send([], { content: 'x', type: MessageType.FILE }), Code.InvalidArgument, 'FIELD_INVALID');
    const outcomes = await Promise.allSettled([1, 2, 3, 4].map(() => send([id])));
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
  });

  it('are returned to a retry', async () => {
    const attachmentIds = [await image()];
    const request = { attachmentIds, requestId: crypto.randomUUID() };
    const { message } = await send(attachmentIds, request);
    const repeated = await send(attachmentIds, request);
    assert.equal(repeated.repeatedRequest, true);
    assert.ok(message && repeated.message && equals(MessageSchema, repeated.message, message));
    await rejects(
      send([await image()], { requestId: request.requestId }),
      Code.AlreadyExists,
      'REQUEST_ID_REUSED',
    );
  });

  it('are returned to a retry of a sender who was removed, whose old URLs end at their time', async () => {
    const target = await group();
    const id = await image('cũ.png', binh, target);
    const request = { channelId: target, attachmentIds: [id], requestId: crypto.randomUUID() };
    const { message } = await messages(binh).sendMessage(request);
    const call = { channelId: target, attachmentId: id };
    const { url, expireTime } = await files(binh).getDownloadUrl(call);
    const short = await the.start({ ATTACHMENT_DOWNLOAD_URL_MS: '1000' });
    const shortLived = await the
      .client(AttachmentService, binh, 'grpc', the.instances.indexOf(short))
      .getDownloadUrl(call);
    await the.client(MemberService, ana).removeMember({ channelId: target, userId: 2n });
    await rejects(files(binh).getDownloadUrl(call), Code.NotFound, 'CHANNEL_NOT_FOUND');
    assert.equal((await fetch(url)).status, 200);
    assert.ok(Number(expireTime?.seconds) * 1000 <= Date.now() + 300_000);
    await until(async () => (await fetch(shortLived.url)).status === 403, 'the end of the URL');
    const repeated = await messages(binh).sendMessage(request);
    assert.ok(message && repeated.message && equals(MessageSchema, repeated.message, message));
  });

  it('are found by the words of their names, and by filter', async () => {
    const { message } = await send([await text('Phiếu-xuất_0815.csv')]);
    await indexed(the);
    const find = async (query: string, hasAttachment?: boolean) => {
      const filter = hasAttachment === undefined ? {} : { hasAttachment };
      const { messages: found } = await the.client(SearchService, binh).searchMessages({ query, ...filter });
      return found.map(({ messageId }) => messageId);
    };
    assert.deepEqual(await find('phieu xuat'), [message?.id]);
    assert.deepEqual(await find('0815', true), [message?.id]);
    assert.deepEqual(await find('0815', false), []);
  });

  for (const encrypted of [false, true])
    it(`remain when the text of their message is edited, ${encrypted ? '' : 'not '}encrypted`, async () => {
      const target = await group(encrypted);
      const subscriber = await new Subscriber(the.client(EventService, binh), [target]).connect();
      const edit = (messageId: bigint, content: string, as = ana) =>
        messages(as).editMessage({
          channelId: target,
          messageId,
          content,
          updateMask: { paths: ['content'] },
        });
      const fileIds = [await image('một.png', ana, target), await image('hai.png', ana, target)];
      const { message: sent } = await send(fileIds, { channelId: target, content: 'kiểm kê' });
      const messageId = sent?.id ?? 0n;
      await edit(messageId, 'nghiệm thu');
      const { message: edited } = await edit(messageId, 'bàn giao');
      assert.deepEqual([edited?.content, edited?.type], ['bàn giao', MessageType.IMAGE]);
      assert.deepEqual(edited?.attachments, sent?.attachments);
      await rejects(edit(messageId, 'x', binh), Code.PermissionDenied, 'CALLER_NOT_ALLOWED');
      await rejects(edit(messageId, ' '), Code.InvalidArgument, 'FIELD_INVALID');
      await files().deleteAttachment({ channelId: target, attachmentId: fileIds[0] ?? 0n });
      const { message: empty } = await edit(messageId, '');
      assert.deepEqual([empty?.content, empty?.attachments], ['', sent?.attachments.slice(1)]);
      const { message: last } = await edit(messageId, 'thanh lý');
      const { versions } = await messages(binh).listEdits({ channelId: target, messageId });
      assert.deepEqual(
        versions.map(({ content }) => content),
        ['', 'bàn giao', 'nghiệm thu', 'kiểm kê'],
      );
      await indexed(the);
      const find = async (query: string) =>
        (await the.client(SearchService, binh).searchMessages({ query, channelIds: [target] })).messages
          .length;
      const found = [await find('kiem ke'), await find('thanh ly'), await find('hai')];
      assert.deepEqual(found, encrypted ? [0, 0, 0] : [0, 1, 1]);
      for (let read = 0; read < 2; read += 1) {
        const page = await messages(binh).listMessages({ channelId: target });
        assert.ok(last && equals(MessageSchema, page.messages.at(-1) ?? last, last));
      }
      await until(() => subscriber.events.length >= 6);
      const projection = new DecodedLog();
      for (const event of subscriber.events) projection.apply(event);
      assert.ok(last && equals(MessageSchema, projection.messages.get(messageId) ?? last, last));
      await subscriber.disconnect();
    });

  it('are listed by kind and uploader, newest first, in pages', async () => {
    const target = await group();
    const sent: bigint[] = [];
    for (const [name, as] of [
      ['a.png', ana],
      ['b.png', binh],
      ['c.png', ana],
    ] as const) {
      const id = await image(name, as, target);
      await messages(as).sendMessage({ channelId: target, attachmentIds: [id] });
      sent.unshift(id);
    }
    await image('unsent.png', ana, target);
    const list = async (filter: object) =>
      (await files(binh).listAttachments({ channelId: target, ...filter })).attachments.map(({ id }) => id);
    assert.deepEqual(await list({}), sent);
    assert.deepEqual(await list({ kind: Kind.IMAGE, uploaderId: 2n }), [sent[1]]);
    assert.deepEqual(await list({ kind: Kind.OTHER }), []);
    const first = await files().listAttachments({ channelId: target, pageSize: 2 });
    const second = await files().listAttachments({
      channelId: target,
      pageSize: 2,
      pageToken: first.nextPageToken,
    });
    assert.deepEqual(
      [...first.attachments, ...second.attachments].map(({ id }) => id),
      sent,
    );
    await rejects(files(user(3n)).listAttachments({ channelId: target }), Code.NotFound, 'CHANNEL_NOT_FOUND');
  });

  it('disappear with their message, or alone, for all readers', async () => {
    const subscriber = await new Subscriber(the.client(EventService, binh), [channelId]).connect();
    const [kept, removed, gone] = [await image('giữ.png'), await image('bỏ.png'), await image('xoá.png')];
    await send([kept, removed]);
    const { message: deleted } = await send([gone], { content: 'xoá' });
    await rejects(
      files(binh).deleteAttachment({ channelId, attachmentId: removed }),
      Code.PermissionDenied,
      'ROLE_TOO_LOW',
    );
    await rejects(
      files().abortUpload({ channelId, attachmentId: removed }),
      Code.FailedPrecondition,
      'ATTACHMENT_SENT',
    );
    await files().deleteAttachment({ channelId, attachmentId: removed });
    await messages().deleteMessage({ channelId, messageId: deleted?.id ?? 0n });
    for (const attachmentId of [removed, gone])
      await rejects(
        files().getAttachment({ channelId, attachmentId }),
        Code.NotFound,
        'ATTACHMENT_NOT_FOUND',
      );
    const { messages: fresh } = await messages(binh).listMessages({ channelId });
    const [first, second] = fresh.slice(-2);
    assert.deepEqual(
      first?.attachments.map(({ id }) => id),
      [kept],
    );
    assert.deepEqual(second?.attachments, []);
    await until(() => subscriber.events.length >= 4);
    const projection = new DecodedLog();
    for (const event of subscriber.events) projection.apply(event);
    for (const each of [first, second])
      assert.ok(each && equals(MessageSchema, projection.messages.get(each.id) ?? fresh[0] ?? each, each));
    await subscriber.disconnect();
  });
});
