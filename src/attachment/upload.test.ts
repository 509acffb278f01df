import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Code, ConnectError } from '@connectrpc/connect';
import { QuotaFailureSchema } from '#gen/google/rpc/error_details_pb.ts';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { type App, type As, CONCURRENT, fileApp } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { PART_BYTES, PNG, putPart, upload, uploadOf } from '../../test/kit/uploads.ts';

const user = (userId: bigint, tenantId = 1n): As => ({ userId, tenantId });
const [ana, binh] = [user(1n), user(2n)];

describe('uploads', () => {
  let the: App;
  let channelId: bigint;

  before(async () => {
    the = await fileApp({ ...CONCURRENT, ATTACHMENT_USER_MB: '143', ATTACHMENT_MAX_BYTES: '110000000' });
    const { channel } = await the
      .client(ChannelService, ana)
      .createChannel({ name: 'Kho', memberUserIds: [2n] });
    channelId = channel?.id ?? 0n;
  });
  after(() => the.close());

  const files = (as = ana) => the.client(AttachmentService, as);
  const readBack = async (attachmentId: bigint, as = ana) => {
    const { url } = await files(as).getDownloadUrl({ channelId, attachmentId });
    return fetch(url);
  };

  it('store the bytes, and clean the name and detect the type', async () => {
    const attachment = await upload(files(), channelId, '../thư mục/ảnh\u202egnp.png', PNG, 'text/html');
    assert.equal(attachment.fileName, 'ảnhgnp.png');
    assert.equal(attachment.contentType, 'image/png');
    assert.equal(attachment.uploaded, true);
    const response = await readBack(attachment.id);
    assert.equal(response.headers.get('content-type'), 'image/png');
    assert.match(
      response.headers.get('content-disposition') ?? '',
      /^attachment; filename="_+nhgnp\.png"; filename\*=UTF-8''/,
    );
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), PNG);
  });

  it('take the declared type only where bytes cannot show it', async () => {
    const types = async (bytes: string, declared: string) =>
      (await upload(files(), channelId, 'x', Buffer.from(bytes), declared)).contentType;
    assert.equal(await types('a,b\n', 'text/csv'), 'text/csv');
    assert.equal(await types('a,b\n', 'image/png'), 'application/octet-stream');
    assert.equal(await types('%PDF-1.7\n%', 'image/png'), 'application/pdf');
  });

  it('reject bytes of another size, type or checksum, and a changed or expired URL', async () => {
    const request = uploadOf(channelId, 'a.png', PNG, 'image/png');
    const { attachment, parts } = await files().createUpload(request);
    const [part] = parts;
    // Stores differ in the status of an error.
    const put = async (...of: Parameters<typeof putPart>) => Math.floor((await putPart(...of)).status / 100);
    const other = Buffer.from(PNG.map((byte, index) => (index === 40 ? byte ^ 1 : byte)));
    assert.equal(await put(part, PNG.subarray(1)), 4);
    assert.equal(await put(part, PNG, { 'content-type': 'text/html' }), 4);
    assert.equal(await put(part, other), 4);
    const forged = part && { ...part, url: part.url.replace(`/${channelId}/`, `/${channelId + 1n}/`) };
    assert.equal(await put(forged, PNG), 4);
    const expired = part && { ...part, url: part.url.replace(/X-Amz-Date=\d{4}/, 'X-Amz-Date=2020') };
    assert.equal(await put(expired, PNG), 4);
    const longer = part && { ...part, url: part.url.replace(/X-Amz-Expires=\d+/, 'X-Amz-Expires=600000') };
    assert.equal(await put(longer, PNG), 4);
    const call = { channelId, attachmentId: attachment?.id ?? 0n };
    await rejects(files().completeUpload(call), Code.FailedPrecondition, 'UPLOAD_INCOMPLETE');
    assert.equal(await put(part, PNG), 2);
    await files().completeUpload(call);
    // A replay can only write the same bytes again.
    assert.equal(await put(part, other), 4);
    assert.equal(await put(part, PNG), 2);
    assert.deepEqual(Buffer.from(await (await readBack(call.attachmentId)).arrayBuffer()), PNG);
  });

  it('of several parts continue after a lost part', async () => {
    const bytes = randomBytes(50_000_000);
    const request = uploadOf(channelId, 'băng hình.bin', bytes);
    const first = await files().createUpload(request);
    assert.equal(first.parts.length, Math.ceil(bytes.length / PART_BYTES));
    const bytesOf = ({ offset, size }: { offset: bigint; size: bigint }) =>
      bytes.subarray(Number(offset), Number(offset + size));
    for (const part of first.parts.filter(({ number }) => number !== 3))
      assert.equal((await putPart(part, bytesOf(part))).status, 200);
    const call = { channelId, attachmentId: first.attachment?.id ?? 0n };
    await rejects(files().completeUpload(call), Code.FailedPrecondition, 'UPLOAD_INCOMPLETE');
    const again = await files().createUpload(request);
    assert.equal(again.attachment?.id, call.attachmentId);
    const missing = again.parts.filter(({ received }) => !received);
    assert.deepEqual(
      missing.map(({ number }) => number),
      [3],
    );
    for (const part of missing) assert.equal((await putPart(part, bytesOf(part))).status, 200);
    const completed = await Promise.allSettled([0, 1].map(() => files().completeUpload(call)));
    // Until the object exists, some stores reject the other one, which can be repeated.
    assert.ok(completed.some(({ status }) => status === 'fulfilled'));
    for (const result of completed)
      if (result.status === 'rejected') assert.equal(ConnectError.from(result.reason).code, Code.Unavailable);
    const [part] = first.parts;
    // Some stores close the connection instead of reading the part.
    const late = await putPart(part, bytesOf(part ?? { offset: 0n, size: 0n })).catch(() => undefined);
    assert.equal(late?.status ?? 404, 404);
    const response = await readBack(call.attachmentId);
    assert.ok(Buffer.from(await response.arrayBuffer()).equals(bytes));
    assert.deepEqual((await files().createUpload(request)).parts, []);
    await files().abortUpload(call);
  });

  it('are limited in size, and by quotas that concurrent calls cannot exceed together', async () => {
    const large = { ...uploadOf(channelId, 'x', PNG), size: 110_000_001n };
    await rejects(files().createUpload(large), Code.InvalidArgument, 'FIELD_INVALID');
    const size = 100_000_000n;
    const sha = Array.from({ length: Math.ceil(Number(size) / PART_BYTES) }, () => randomBytes(32));
    const request = () => ({
      ...uploadOf(channelId, 'x', PNG),
      size,
      partSha256: sha,
      requestId: crypto.randomUUID(),
    });
    const outcomes = await Promise.allSettled([1, 2, 3].map(() => files(binh).createUpload(request())));
    const accepted = outcomes.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    assert.equal(accepted.length, 1);
    const error = await rejects(
      files(binh).createUpload(request()),
      Code.ResourceExhausted,
      'STORAGE_QUOTA_EXCEEDED',
    );
    assert.equal(error.findDetails(QuotaFailureSchema)[0]?.violations[0]?.subject, 'user:2');
    await files(binh).abortUpload({ channelId, attachmentId: accepted[0]?.attachment?.id ?? 0n });
    await files(binh).createUpload(request());
  });

  it('return the same upload for the same request id, and reject another request with it', async () => {
    const request = uploadOf(channelId, 'a.png', PNG);
    const { attachment } = await files().createUpload(request);
    assert.equal((await files().createUpload(request)).attachment?.id, attachment?.id);
    await rejects(
      files().createUpload({ ...request, fileName: 'b' }),
      Code.AlreadyExists,
      'REQUEST_ID_REUSED',
    );
    await files().abortUpload({ channelId, attachmentId: attachment?.id ?? 0n });
    await files().abortUpload({ channelId, attachmentId: attachment?.id ?? 0n });
    await rejects(files().createUpload(request), Code.NotFound, 'ATTACHMENT_NOT_FOUND');
  });

  it('are hidden from others, who cannot complete or remove them', async () => {
    const { id: attachmentId } = await upload(files(), channelId, 'a.png', PNG);
    const call = { channelId, attachmentId };
    await rejects(files(binh).getAttachment(call), Code.NotFound, 'ATTACHMENT_NOT_FOUND');
    await rejects(files(binh).getDownloadUrl(call), Code.NotFound, 'ATTACHMENT_NOT_FOUND');
    await rejects(files(binh).completeUpload(call), Code.NotFound, 'ATTACHMENT_NOT_FOUND');
    await rejects(files(binh).deleteAttachment(call), Code.NotFound, 'ATTACHMENT_NOT_FOUND');
    await files(binh).abortUpload(call);
    for (const outsider of [user(3n), user(1n, 2n)])
      await rejects(files(outsider).getAttachment(call), Code.NotFound, 'CHANNEL_NOT_FOUND');
    assert.equal((await files().getAttachment(call)).attachment?.id, attachmentId);
  });
});
