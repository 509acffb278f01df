import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { equals, toJsonString } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import sharp from 'sharp';
import { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { ScanStatus } from '#gen/serp/discuss/v1/attachment_pb.ts';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventSchema } from '#gen/serp/discuss/v1/event_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageSchema } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, fileApp } from '../../test/kit/app.ts';
import { EICAR, FakeClamd } from '../../test/kit/clamd.ts';
import { DecodedLog } from '../../test/kit/decoded-log.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';
import { upload } from '../../test/kit/uploads.ts';

const user = (userId: bigint, tenantId = 1n): As => ({ userId, tenantId });
const [ana, binh] = [user(1n), user(2n)];
const { PENDING, CLEAN, INFECTED, ERROR } = ScanStatus;

describe('the malware scan', () => {
  let the: App;
  let clamd: FakeClamd;
  let channelId: bigint;

  before(async () => {
    clamd = await FakeClamd.open();
    const settings = {
      CLAMD_ADDR: clamd.address,
      SCAN_INTERVAL_MS: '30',
      SCAN_ATTEMPTS: '2',
      SCAN_CONCURRENCY: '2',
    };
    the = await fileApp(settings);
    await the.start();
    const { channel } = await the
      .client(ChannelService, ana)
      .createChannel({ name: 'Kho', memberUserIds: [2n] });
    channelId = channel?.id ?? 0n;
  });
  after(async () => {
    await the.close();
    await clamd.close();
  });

  const files = (as = binh) => the.client(AttachmentService, as);
  const get = async (attachmentId: bigint) =>
    (await files().getAttachment({ channelId, attachmentId })).attachment;
  const put = async (name: string, bytes: Buffer, type = '') =>
    (await upload(files(), channelId, name, bytes, type)).id;
  const scanned = async (attachmentId: bigint, status: ScanStatus) => {
    await until(async () => {
      await skipDelay(attachmentId);
      return (await get(attachmentId))?.scanStatus === status;
    }, `status ${status}`);
    return get(attachmentId);
  };
  // As if the delay after a failed scan had passed; the time of a claim is longer.
  const skipDelay = (attachmentId: bigint) => the.owner`
    update attachments set next_scan_at = 0
    where id = ${attachmentId} and next_scan_at > 0 and next_scan_at < now_ms() + 10000
  `;
  const picture = (width: number, height: number) =>
    sharp({ create: { width, height, channels: 3, background: '#3366cc' } });

  it('permits downloads to members, and events and reads show the same', async () => {
    const subscriber = await new Subscriber(the.client(EventService, ana), [channelId]).connect();
    clamd.hold();
    const image = await picture(600, 300).jpeg().withMetadata({ orientation: 6 }).toBuffer();
    const id = await put('kho.jpg', image);
    const { message } = await the
      .client(MessageService, binh)
      .sendMessage({ channelId, attachmentIds: [id] });
    await the.client(MessageService, ana).listMessages({ channelId });
    const call = { channelId, attachmentId: id };
    await rejects(files(ana).getDownloadUrl(call), Code.FailedPrecondition, 'ATTACHMENT_NOT_CLEAN');
    clamd.release();
    const attachment = await scanned(id, CLEAN);
    assert.deepEqual([attachment?.width, attachment?.height, attachment?.hasThumbnail], [300, 600, true]);
    const preview = await sharp(attachment?.preview).metadata();
    assert.deepEqual([preview.format, preview.width, preview.height], ['webp', 8, 16]);
    const { url } = await files(ana).getDownloadUrl({ ...call, thumbnail: true });
    const thumbnail = await sharp(Buffer.from(await (await fetch(url)).arrayBuffer())).metadata();
    assert.deepEqual([thumbnail.format, thumbnail.width, thumbnail.height], ['webp', 128, 256]);
    assert.deepEqual([thumbnail.exif, thumbnail.orientation], [undefined, undefined]);
    const { messages } = await the.client(MessageService, ana).listMessages({ channelId });
    const read = messages.find((each) => each.id === message?.id);
    await until(() => subscriber.events.some(({ change }) => change.case === 'attachmentChanged'));
    const projection = new DecodedLog();
    for (const event of subscriber.events) projection.apply(event);
    const derived = projection.messages.get(message?.id ?? 0n);
    assert.ok(read && derived && equals(MessageSchema, derived, read));
    await subscriber.disconnect();
  });

  it('leaves no trace of a removed file in the log', async () => {
    clamd.hold();
    const id = await put('bí mật.png', await picture(20, 20).png().toBuffer());
    const kept = await put('công khai.png', await picture(20, 20).png().toBuffer());
    const { message } = await the
      .client(MessageService, binh)
      .sendMessage({ channelId, content: 'hai tệp', attachmentIds: [id, kept] });
    const messageId = message?.id ?? 0n;
    clamd.release();
    for (const each of [id, kept]) await scanned(each, CLEAN);
    const replay = async (instance: number) => {
      const subscriber = new Subscriber(the.client(EventService, ana, 'grpc', instance), [channelId]);
      subscriber.cursors.set(channelId, 0n);
      await subscriber.connect();
      const { headSeq } = await the.client(ChannelService, ana).getChannel({ channelId });
      await until(() => subscriber.cursors.get(channelId) === headSeq, 'the log');
      await subscriber.disconnect();
      const projection = new DecodedLog();
      for (const event of subscriber.events) projection.apply(event);
      return { text: subscriber.events.map((event) => toJsonString(EventSchema, event)).join(), projection };
    };
    for (const instance of [0, 1]) assert.equal((await replay(instance)).text.split('bí mật').length, 3);
    await files().deleteAttachment({ channelId, attachmentId: id });
    const { messages } = await the.client(MessageService, ana).listMessages({ channelId });
    const read = messages.find((each) => each.id === messageId);
    for (const instance of [0, 1]) {
      await until(async () => !(await replay(instance)).text.includes('bí mật'), 'the redacted log');
      const { text, projection } = await replay(instance);
      assert.ok(text.includes('công khai'));
      const derived = projection.messages.get(messageId);
      assert.ok(read && derived && equals(MessageSchema, derived, read));
    }
  });

  it('withholds infected files, moves them, and tells admins and streams', async () => {
    const subscriber = await new Subscriber(the.client(EventService, ana), [channelId]).connect();
    clamd.hold();
    const id = await put('virus.txt', Buffer.concat([Buffer.alloc(200_000, 'a'), EICAR]), 'text/plain');
    await the.client(MessageService, binh).sendMessage({ channelId, attachmentIds: [id] });
    const [before] = await the.owner<{ s3Key: string }[]>`select s3_key from attachments where id = ${id}`;
    clamd.release();
    await scanned(id, INFECTED);
    for (const as of [ana, binh])
      await rejects(
        files(as).getDownloadUrl({ channelId, attachmentId: id }),
        Code.FailedPrecondition,
        'ATTACHMENT_NOT_CLEAN',
      );
    const [row] = await the.owner<{ s3Key: string }[]>`select s3_key from attachments where id = ${id}`;
    assert.equal(row?.s3Key, `quarantine/${before?.s3Key}`);
    const store = the.instances[0]?.deps.storage;
    // As if the URL for uploading had expired.
    await the.owner`update object_deletions set due_at = 0`;
    await until(
      async () => (await store?.head(before?.s3Key ?? '')) === undefined,
      'the deletion of the original',
    );
    assert.ok(await store?.head(row?.s3Key ?? ''));
    await until(() => subscriber.events.some(({ change }) => change.case === 'attachmentChanged'));
    const list = (as: As) => the.client(ActivityService, as).listActivities({});
    const types = async (as: As) => (await list(as)).activities.map(({ type }) => type);
    assert.ok((await types(ana)).includes('MALWARE_FOUND'));
    assert.ok(!(await types(binh)).includes('MALWARE_FOUND'));
    const unsent = await put('virus.txt', EICAR, 'text/plain');
    await scanned(unsent, INFECTED);
    const send = the.client(MessageService, binh).sendMessage({ channelId, attachmentIds: [unsent] });
    await rejects(send, Code.FailedPrecondition, 'ATTACHMENT_NOT_CLEAN');
    await subscriber.disconnect();
  });

  it('ends as ERROR for a file that clamd does not survive, and other files are scanned meanwhile', async () => {
    const subscriber = await new Subscriber(the.client(EventService, ana), [channelId]).connect();
    clamd.crashOn = Buffer.from('crash!');
    const id = await put('hỏng.txt', clamd.crashOn, 'text/plain');
    await the.client(MessageService, binh).sendMessage({ channelId, attachmentIds: [id] });
    const interruptions = async () => {
      const [row] = await the.owner<{ n: number }[]>`
        select scan_interruptions as n from attachments where id = ${id}
      `;
      return row?.n ?? 0;
    };
    await until(async () => (await interruptions()) > 0, 'the first interruption');
    const other = await put('a.txt', Buffer.from('abc'), 'text/plain');
    await until(async () => (await get(other))?.scanStatus === CLEAN, 'the scan of another file');
    assert.equal((await get(id))?.scanStatus, PENDING);
    await scanned(id, ERROR);
    assert.equal(await interruptions(), 10);
    clamd.crashOn = undefined;
    await until(
      () =>
        subscriber.events.some(
          ({ change }) =>
            change.case === 'attachmentChanged' && change.value.attachment?.scanStatus === ERROR,
        ),
      'the event',
    );
    await subscriber.disconnect();
  });

  it('ends as ERROR for a file during whose scans instances were killed', async () => {
    clamd.hold();
    const id = await put('a.txt', Buffer.from('abc'), 'text/plain');
    await until(() => clamd.held > 0, 'the scan');
    // As if both attempts had begun before, and their claims had ended.
    await the.owner`update attachments set scan_attempts = 2, next_scan_at = 0 where id = ${id}`;
    await until(async () => (await get(id))?.scanStatus === ERROR, 'the status');
    clamd.release();
  });

  it('is done for as many files at a time as configured', async () => {
    clamd.hold();
    const scans = 2 * the.instances.length;
    const ids: bigint[] = [];
    for (let file = 0; file < scans + 2; file += 1)
      ids.push(await put('a.txt', Buffer.from('abc'), 'text/plain'));
    await until(() => clamd.held >= scans, 'the scans');
    const claimed = await the.owner`
      select from attachments where id in ${the.owner(ids)} and next_scan_at > now_ms()
    `;
    assert.equal(claimed.length, scans);
    // Also with the plan for a table that had one row when it was analyzed.
    await the.owner.begin(async (sql) => {
      await sql`update pg_class set relpages = 1, reltuples = 1 where oid = 'attachments'::regclass`;
      assert.equal((await sql`select from claim_scans(1, 0)`).length, 1);
    });
    clamd.release();
    for (const id of ids) await scanned(id, CLEAN);
  });

  it('is repeated when it fails, and ends as ERROR', async () => {
    clamd.replies.push('INSTREAM size limit exceeded. ERROR');
    const retried = await put('a.txt', Buffer.from('abc'), 'text/plain');
    await scanned(retried, CLEAN);
    clamd.replies.push('INSTREAM size limit exceeded. ERROR', 'INSTREAM size limit exceeded. ERROR');
    const failed = await put('b.txt', Buffer.from('abc'), 'text/plain');
    await scanned(failed, ERROR);
    await rejects(
      files().getDownloadUrl({ channelId, attachmentId: failed }),
      Code.FailedPrecondition,
      'ATTACHMENT_NOT_CLEAN',
    );
  });
});
