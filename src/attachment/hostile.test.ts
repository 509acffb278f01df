import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { crc32, deflateRawSync, deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { openTestClamd } from '../../scripts/lib/clamd.ts';
import { type App, fileApp } from '../../test/kit/app.ts';
import { EICAR, FakeClamd } from '../../test/kit/clamd.ts';
import { PNG, uploadClean } from '../../test/kit/uploads.ts';
import { scan } from './clamd.ts';

const ana = { userId: 1n, tenantId: 1n };
const HTML = Buffer.from('<!DOCTYPE html><script>alert(1)</script>');
const SVG = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>');

describe('files that attack readers', () => {
  let the: App;
  let clamd: FakeClamd;
  let channelId: bigint;

  before(async () => {
    clamd = await FakeClamd.open();
    the = await fileApp({ CLAMD_ADDR: clamd.address, SCAN_INTERVAL_MS: '30' });
    const { channel } = await the.client(ChannelService, ana).createChannel({ name: 'Kho' });
    channelId = channel?.id ?? 0n;
  });
  after(async () => {
    await the.close();
    await clamd.close();
  });

  const files = () => the.client(AttachmentService, ana);
  const scanned = (name: string, bytes: Buffer, type = '') =>
    uploadClean(files(), channelId, name, bytes, type);
  const headersOf = async (name: string, bytes: Buffer, type = '') => {
    const attachmentId = (await scanned(name, bytes, type))?.id ?? 0n;
    const { url } = await files().getDownloadUrl({ channelId, attachmentId, inline: true });
    const { headers } = await fetch(url);
    return [headers.get('content-disposition')?.split(';')[0], headers.get('content-type')];
  };

  it('are never displayed by a browser if they are, or contain, HTML or SVG', async () => {
    const png = await sharp({ create: { width: 40, height: 40, channels: 3, background: '#36c' } })
      .png()
      .toBuffer();
    const gif = Buffer.concat([Buffer.from('GIF89a/*'), HTML]);
    const far = Buffer.concat([png, Buffer.alloc(300_000, ' '), HTML]);
    assert.deepEqual(await headersOf('ảnh.png', png), ['inline', 'image/png']);
    assert.deepEqual(await headersOf('a.pdf', Buffer.from('%PDF-1.7\n1 0 obj\n')), [
      'inline',
      'application/pdf',
    ]);
    assert.deepEqual(await headersOf('a.html', HTML, 'text/html'), ['attachment', 'text/html']);
    assert.deepEqual(await headersOf('a.svg', SVG, 'image/svg+xml'), [
      'attachment',
      'application/octet-stream',
    ]);
    assert.deepEqual(await headersOf('a.svg', SVG, 'text/xml'), ['attachment', 'text/xml']);
    for (const [name, bytes] of [
      ['a.png', Buffer.concat([png, HTML])],
      ['b.png', far],
      ['c.png', Buffer.concat([png.subarray(0, 60), HTML])],
      ['d.png', png.subarray(0, 60)],
    ] as const)
      assert.deepEqual(await headersOf(name, bytes), ['attachment', 'image/png'], name);
    assert.deepEqual(await headersOf('a.gif', gif), ['attachment', 'image/gif']);
  });

  it('do not stop the decoder by the number of their pixels', async () => {
    const bomb = await scanned('bomb.png', pngOf(20_000, 20_000));
    assert.deepEqual([bomb?.contentType, bomb?.width, bomb?.hasThumbnail], ['image/png', 0, false]);
    const next = await scanned('a.png', PNG);
    assert.deepEqual([next?.width, next?.hasThumbnail], [1, true]);
  });

  it('are stored, and saved by browsers, as they were uploaded', async () => {
    const bomb = zipOf('zeros', Buffer.alloc(50_000_000));
    assert.ok(bomb.length < 60_000);
    assert.deepEqual(await headersOf('bomb.zip', bomb), ['attachment', 'application/zip']);
  });
});

const real = await openTestClamd();

// With a database that contains a signature of EICAR.
describe('clamd itself', { skip: real === undefined && 'there is no clamd: set TEST_CLAMD_ADDR' }, () => {
  after(() => real?.stop());

  const verdictOf = async (...parts: Buffer[]) => {
    const file = { open: async () => Readable.from(parts), inspect() {} };
    return (await scan(real?.address ?? '', file, AbortSignal.timeout(30_000))).status;
  };

  it('finds EICAR, also at the end of a large file and in an archive, and nothing else', async () => {
    const large = Buffer.alloc(20_000_000, 'a');
    assert.equal(await verdictOf(EICAR), 'INFECTED');
    assert.equal(await verdictOf(large, EICAR), 'INFECTED');
    assert.equal(await verdictOf(zipOf('virus.txt', EICAR)), 'INFECTED');
    assert.equal(await verdictOf(large), 'CLEAN');
  });

  it('finishes archives that grow beyond its limits', async () => {
    const layer = zipOf('zeros', Buffer.alloc(100_000_000));
    assert.equal(await verdictOf(zipOf('a.zip', layer)), 'CLEAN');
    assert.equal(await verdictOf(EICAR), 'INFECTED');
  });
});

/** A black image of one bit per pixel. */
function pngOf(width: number, height: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 1;
  const rows = Buffer.alloc((Math.ceil(width / 8) + 1) * height);
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunkOf('IHDR', header),
    chunkOf('IDAT', deflateSync(rows)),
    chunkOf('IEND', Buffer.alloc(0)),
  ]);
}

function chunkOf(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type), data]);
  const [length, checksum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  checksum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, checksum]);
}

/** An archive with one file. */
function zipOf(name: string, content: Buffer): Buffer {
  const data = deflateRawSync(content);
  const common = Buffer.alloc(26);
  common.writeUInt16LE(20, 0);
  common.writeUInt16LE(8, 4);
  common.writeUInt32LE(crc32(content), 10);
  common.writeUInt32LE(data.length, 14);
  common.writeUInt32LE(content.length, 18);
  common.writeUInt16LE(name.length, 22);
  const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, Buffer.from(name), data]);
  const entry = Buffer.concat([
    Buffer.from('PK\x01\x02\x14\x00', 'latin1'),
    common,
    Buffer.alloc(14),
    Buffer.from(name),
  ]);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(1, 8);
  end.writeUInt16LE(1, 10);
  end.writeUInt32LE(entry.length, 12);
  end.writeUInt32LE(local.length, 16);
  return Buffer.concat([local, entry, end]);
}
