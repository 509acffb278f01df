import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { ScanStatus } from '#gen/serp/discuss/v1/attachment_pb.ts';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { Instance } from '../../test/chaos/instance.ts';
import { type App, fileApp } from '../../test/kit/app.ts';
import { FakeClamd } from '../../test/kit/clamd.ts';
import { FaultProxy } from '../../test/kit/fault-proxy.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { canFail } from '../../test/kit/storage.ts';
import { until } from '../../test/kit/until.ts';
import { PNG, putPart, upload, uploadOf } from '../../test/kit/uploads.ts';
import type { Service } from '../service.ts';

const ana = { userId: 1n, tenantId: 1n };
const { PENDING, CLEAN, ERROR } = ScanStatus;
const SCAN_ATTEMPTS = 2;
// Beyond what the system buffers between the store and clamd.
const LARGE = randomBytes(6_000_000);

describe('files during outages', { skip: !canFail }, () => {
  let the: App;
  let clamd: FakeClamd;
  let toStore: FaultProxy;
  let toClamd: FaultProxy;
  /** The only instance that scans. */
  let scanner: Service;
  let channelId: bigint;

  before(async () => {
    clamd = await FakeClamd.open();
    toClamd = await FaultProxy.open(clamd.port, false);
    the = await fileApp({
      S3_TIMEOUT_MS: '1000',
      CLAMD_ADDR: `127.0.0.1:${toClamd.port}`,
      SCAN_INTERVAL_MS: '0',
      SCAN_ATTEMPTS: `${SCAN_ATTEMPTS}`,
    });
    toStore = the.toStore;
    scanner = await the.start({ SCAN_INTERVAL_MS: '30' });
    const { channel } = await the.client(ChannelService, ana).createChannel({ name: 'Kho' });
    channelId = channel?.id ?? 0n;
  });
  after(async () => {
    await the.close();
    await toClamd.close();
    await clamd.close();
  });

  const files = () => the.client(AttachmentService, ana);
  const put = async (bytes: Buffer) => (await upload(files(), channelId, 'a.bin', bytes)).id;
  const send = (attachmentIds: bigint[], content = '') =>
    the.client(MessageService, ana).sendMessage({ channelId, attachmentIds, ...(content && { content }) });
  const statusOf = async (attachmentId: bigint) =>
    (await files().getAttachment({ channelId, attachmentId })).attachment?.scanStatus;
  const untilStatus = (id: bigint, status: ScanStatus) =>
    until(async () => {
      await skipDelay(id);
      return (await statusOf(id)) === status;
    }, `status ${status}`);
  // As if the delay after a failed scan had passed; the time of a claim is longer.
  const skipDelay = (id: bigint) => the.owner`
    update attachments set next_scan_at = 0
    where id = ${id} and next_scan_at > 0 and next_scan_at < now_ms() + 10000
    returning id
  `;
  /** Waits until the scan was tried, and postponed, some times. */
  const untilTried = async (id: bigint, times: number) => {
    for (let tried = 0; tried < times; )
      await until(async () => {
        tried += (await skipDelay(id)).length;
        return tried >= times;
      }, 'the scan');
  };
  const attemptsOf = async (id: bigint) =>
    (await the.owner<{ scanAttempts: number }[]>`select scan_attempts from attachments where id = ${id}`)[0]
      ?.scanAttempts;

  it('are uploaded to a slow store, and downloaded from it', async () => {
    toStore.mode = 'slow';
    const bytes = randomBytes(200_000);
    const id = await put(bytes);
    await untilStatus(id, CLEAN);
    const { url } = await files().getDownloadUrl({ channelId, attachmentId: id });
    assert.deepEqual(Buffer.from(await (await fetch(url)).arrayBuffer()), bytes);
    toStore.mode = 'pass';
  });

  for (const mode of ['down', 'stall'] as const)
    it(`end with UNAVAILABLE while the store has mode ${mode}, except in messages, and continue later`, async () => {
      clamd.hold();
      const [id, lost] = [await put(PNG), await put(PNG)];
      const { attachment, parts } = await files().createUpload(uploadOf(channelId, 'a.png', PNG));
      assert.equal((await putPart(parts[0], PNG)).status, 200);
      const call = { channelId, attachmentId: attachment?.id ?? 0n };
      await until(() => clamd.held > 0, 'a scan');
      toStore.mode = mode;
      await rejects(files().completeUpload(call), Code.Unavailable, 'STORAGE_UNAVAILABLE');
      // The scan ends while its thumbnail cannot be stored.
      clamd.release();
      const { message } = await send([id], 'có tệp');
      assert.equal(message?.attachments[0]?.scanStatus, PENDING);
      await send([], 'không có tệp');
      await files().deleteAttachment({ channelId, attachmentId: lost });
      await untilTried(id, 2);
      assert.equal(await statusOf(id), PENDING);
      toStore.mode = 'pass';
      assert.equal((await files().completeUpload(call)).attachment?.uploaded, true);
      await untilStatus(id, CLEAN);
      await untilStatus(call.attachmentId, CLEAN);
    });

  it('wait for clamd without using connections to the store', async () => {
    toClamd.mode = 'down';
    const id = await put(LARGE);
    await send([id]);
    const before = toStore.connections;
    await untilTried(id, 12);
    assert.equal(await statusOf(id), PENDING);
    assert.ok(toStore.connections <= before + 5, `${before} connections became ${toStore.connections}`);
    toClamd.mode = 'pass';
    await untilStatus(id, CLEAN);
  });

  it('are scanned once more if clamd ends in the middle', async () => {
    toClamd.mode = 'slow';
    const received = clamd.received;
    const id = await put(LARGE);
    const before = toStore.connections;
    for (let scan = 0; scan < 8; scan += 1) {
      await until(() => clamd.received > received + scan * 100_000, 'the scan');
      toClamd.reset();
      await untilTried(id, 1);
    }
    assert.ok(toStore.connections <= before + 5, `${before} connections became ${toStore.connections}`);
    // An attempt that counted would have ended it as ERROR.
    assert.equal(await statusOf(id), PENDING);
    toClamd.mode = 'pass';
    await untilStatus(id, CLEAN);
  });

  it('end as ERROR if clamd never finishes them', async () => {
    await scanner.drain();
    scanner = await the.start({ SCAN_INTERVAL_MS: '30', SCAN_TIMEOUT_MS: '300' });
    clamd.hold();
    const id = await put(PNG.subarray(1));
    await untilStatus(id, ERROR);
    assert.equal(await attemptsOf(id), SCAN_ATTEMPTS);
    clamd.release();
  });

  it('are scanned by another instance if one is killed in the middle', async () => {
    await scanner.drain();
    clamd.hold();
    const killed = await Instance.start('killed', the.environment({ SCAN_INTERVAL_MS: '30' }));
    let id = 0n;
    try {
      id = await put(PNG);
      await until(() => clamd.held > 0, 'the scan');
    } finally {
      await killed.kill();
    }
    clamd.release();
    scanner = await the.start({ SCAN_INTERVAL_MS: '30' });
    assert.deepEqual([await statusOf(id), await attemptsOf(id)], [PENDING, 1]);
    // As if the time of the claim had passed.
    await the.owner`update attachments set next_scan_at = 0 where id = ${id}`;
    await untilStatus(id, CLEAN);
  });
});
