import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import sharp from 'sharp';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { type App, type As, fileApp } from '../kit/app.ts';
import { FakeClamd } from '../kit/clamd.ts';
import { launchBrowser, skip } from './kit.ts';

const ana = { userId: 1n, tenantId: 1n };
const binh = { userId: 2n, tenantId: 1n };
const PAGE = readFileSync(new URL('page.html', import.meta.url));

describe('a file in a browser', { skip }, () => {
  let the: App;
  let clamd: FakeClamd;
  let server: Server;
  let origin: string;
  let browser: Browser;
  let channelId: bigint;

  before(async () => {
    server = createServer((_, response) => response.setHeader('content-type', 'text/html').end(PAGE));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    origin = `http://127.0.0.1:${address.port}`;
    clamd = await FakeClamd.open();
    the = await fileApp({ CLAMD_ADDR: clamd.address, SCAN_INTERVAL_MS: '30', WEB_ORIGINS: origin });
    const { channel } = await the
      .client(ChannelService, ana)
      .createChannel({ name: 'Kho', memberUserIds: [2n] });
    channelId = channel?.id ?? 0n;
    browser = await launchBrowser();
  });
  after(async () => {
    await browser?.close();
    await the?.close();
    await clamd?.close();
    server?.closeAllConnections();
    server?.close();
  });

  async function open(as: As): Promise<Page> {
    const page = await browser.newPage();
    const test = {
      url: `http://${the.instances[0]?.webAddress}`,
      token: await the.tokens.sign(as),
      channelId: `${channelId}`,
    };
    await page.addInitScript(`window.test = ${JSON.stringify(test)}`);
    await page.goto(origin);
    return page;
  }

  it('is chosen, uploaded, and shown to both members', async () => {
    const noise = { type: 'gaussian', mean: 128, sigma: 60 } as const;
    const buffer = await sharp({
      create: { width: 1_000, height: 600, channels: 3, background: 'grey', noise },
    })
      .png()
      .toBuffer();
    const [sender, reader] = [await open(ana), await open(binh)];
    await sender.setInputFiles('input', { name: 'ảnh kho.png', mimeType: 'image/png', buffer });
    for (const page of [sender, reader]) {
      await page.waitForFunction(
        `document.title !== 'Tệp' ||
          [...document.images].filter(({ complete, naturalWidth }) => complete && naturalWidth > 0).length === 3`,
      );
      assert.equal(await page.title(), 'Tệp');
      const sizes = await page.evaluate('[...document.images].map(({ naturalWidth }) => naturalWidth)');
      assert.deepEqual(sizes, [16, 256, 1_000]);
      assert.match((await page.textContent('li')) ?? '', /^ảnh kho\.png: SCAN_STATUS_CLEAN/);
    }
  });

  it('of more than one part is uploaded with progress', async () => {
    const sender = await open(ana);
    // As a path, because a buffer goes to the browser as text.
    const file = join(tmpdir(), 'lớn.bin');
    await writeFile(file, randomBytes((16 << 20) + 1_000));
    await sender.setInputFiles('input', file);
    await sender.waitForFunction(
      `document.title !== 'Tệp' || document.body.textContent.includes('lớn.bin: SCAN_STATUS_CLEAN')`,
    );
    assert.equal(await sender.title(), 'Tệp');
    const progress = await sender.evaluate('window.progress');
    assert.ok(Array.isArray(progress) && progress.length > 1);
    assert.ok(progress[0] < 1 && progress.at(-1) === 1, `${progress}`);
  });
});
