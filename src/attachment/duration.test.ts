import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, fileApp } from '../../test/kit/app.ts';
import { FakeClamd } from '../../test/kit/clamd.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';
import { PNG, upload, uploadClean } from '../../test/kit/uploads.ts';

const ana = { userId: 1n, tenantId: 1n };

describe('the duration of audio and video', () => {
  let the: App;
  let clamd: FakeClamd;
  let channelId: bigint;

  before(async () => {
    clamd = await FakeClamd.open();
    the = await fileApp({ CLAMD_ADDR: clamd.address, SCAN_INTERVAL_MS: '30' });
    await the.start();
    const { channel } = await the.client(ChannelService, ana).createChannel({ name: 'Họp' });
    channelId = channel?.id ?? 0n;
  });
  after(async () => {
    await the.close();
    await clamd.close();
  });

  const files = () => the.client(AttachmentService, ana);
  const scanned = (name: string, bytes: Buffer) => uploadClean(files(), channelId, name, bytes);

  it('is stated by reads and events', async () => {
    const subscriber = await new Subscriber(the.client(EventService, ana), [channelId]).connect();
    clamd.hold();
    const { id } = await upload(files(), channelId, 'ghi âm.wav', wav(1_500));
    const { message } = await the.client(MessageService, ana).sendMessage({ channelId, attachmentIds: [id] });
    assert.equal(message?.attachments[0]?.duration, undefined);
    clamd.release();
    const found = () =>
      subscriber.events.flatMap(({ change }) =>
        change.case === 'attachmentChanged' ? [change.value.attachment?.duration] : [],
      );
    await until(() => found().length > 0, 'the event');
    const { messages } = await the.client(MessageService, ana).listMessages({ channelId });
    const listed = messages[0]?.attachments[0];
    for (const duration of [...found(), listed?.duration])
      assert.deepEqual([duration?.seconds, duration?.nanos], [1n, 500_000_000]);
    assert.equal(listed?.contentType, 'audio/wav');
    await subscriber.disconnect();
  });

  it('is read from the end of a large video', async () => {
    const file = await scanned('họp.mp4', mp4(20_000_000, 90_250));
    assert.deepEqual([file?.contentType, file?.duration?.seconds], ['video/mp4', 90n]);
    assert.equal(file?.duration?.nanos, 250_000_000);
  });

  it('is unset for a file that is damaged or hostile, and other files are decoded afterwards', async () => {
    const start = mp4(0, 1_000).subarray(0, 24);
    const lying = Buffer.concat([start, atom('moov', Buffer.alloc(64), 0xffff_fff0)]);
    const nested = Array.from({ length: 2_000 }).reduce<Buffer>(
      (inner) => atom('moov', inner),
      Buffer.alloc(8),
    );
    const endless = Buffer.concat([start, Buffer.alloc(9_000_000)]);
    for (const [name, bytes] of Object.entries({
      lying,
      nested: Buffer.concat([start, nested]),
      endless,
      cut: wav(1_000).subarray(0, 30),
    }))
      assert.equal((await scanned(`${name}.bin`, bytes))?.duration, undefined, name);
    assert.equal((await scanned('a.png', PNG))?.width, 1);
  });
});

/** Silence of 8-bit samples, 8,000 per second. */
function wav(ms: number): Buffer {
  const samples = Buffer.alloc(ms * 8, 128);
  const header = Buffer.alloc(44);
  header.write('RIFF', 0);
  header.writeUInt32LE(36 + samples.length, 4);
  header.write('WAVEfmt ', 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(8_000, 24);
  header.writeUInt32LE(8_000, 28);
  header.writeUInt16LE(1, 32);
  header.writeUInt16LE(8, 34);
  header.write('data', 36);
  header.writeUInt32LE(samples.length, 40);
  return Buffer.concat([header, samples]);
}

/** A file of ISO 14496-12 with one track of sound, whose description follows its data. */
function mp4(dataBytes: number, ms: number): Buffer {
  const type = atom('ftyp', Buffer.from('isom\0\0\0\0isommp42'));
  const header = Buffer.alloc(24);
  header.writeUInt32BE(1_000, 12);
  header.writeUInt32BE(ms, 16);
  const handler = Buffer.alloc(28);
  handler.write('soun', 8);
  const entry = atom('mp4a', Buffer.alloc(28));
  const samples = Buffer.concat([Buffer.from([0, 0, 0, 0, 0, 0, 0, 1]), entry]);
  const media = [
    atom('mdhd', header),
    atom('hdlr', handler),
    atom('minf', atom('stbl', atom('stsd', samples))),
  ];
  const track = Buffer.concat([atom('tkhd', Buffer.alloc(84)), atom('mdia', Buffer.concat(media))]);
  return Buffer.concat([type, atom('mdat', Buffer.alloc(dataBytes)), atom('moov', atom('trak', track))]);
}

function atom(name: string, content: Buffer, length = content.length + 8): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(length);
  header.write(name, 4);
  return Buffer.concat([header, content]);
}
