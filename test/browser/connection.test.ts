import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import type { Page } from 'playwright-core';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { until } from '../kit/until.ts';
import { lan, minh, openPageTest, type PageTest, skip } from './kit.ts';

const TABS = 8;
const TOKEN_SECONDS = 3;

describe('the connection of the page', { skip }, () => {
  let test: PageTest;
  let channelId: bigint;

  before(async () => {
    test = await openPageTest({ EVENT_HEARTBEAT_MS: '500', AUTH_CLOCK_TOLERANCE_MS: '0' });
    const { channel } = await test.the
      .client(ChannelService, lan)
      .createChannel({ name: 'Kho vận', memberUserIds: [minh.userId] });
    channelId = channel?.id ?? 0n;
  });
  after(() => test?.close());
  afterEach(() => {
    test.proxy.mode = 'pass';
  });

  const open = (user = lan) => test.open(user, `#/c/${channelId}`);
  const send = (content: string) => test.the.client(MessageService, minh).sendMessage({ channelId, content });

  async function posted(content: string): Promise<number> {
    const { messages } = await test.the.client(MessageService, minh).listMessages({ channelId });
    return messages.filter((message) => message.content === content).length;
  }

  it('is lost and resumed, with the messages of both sides', async () => {
    const page = await open();
    await isConnected(page);
    test.proxy.mode = 'down';
    await page.getByText('Mất kết nối.').waitFor();
    await send('Trong lúc mất mạng');
    await write(page, 'Gửi khi mất mạng');
    await page.getByText('Đang gửi').waitFor();
    await test.screenshot(page, '20-connection-lost');
    test.proxy.mode = 'pass';
    // The page may connect by itself just before the click, and then has no button.
    await Promise.any([page.getByRole('button', { name: 'Thử lại ngay' }).click(), isConnected(page)]);
    await said(page, 'Trong lúc mất mạng').waitFor();
    await isConnected(page);
    await until(async () => (await posted('Gửi khi mất mạng')) === 1, 'the message of the page');
    await page.getByText('Đang gửi').waitFor({ state: 'detached' });
    await test.screenshot(page, '21-connection-resumed');
    await page.close();
  });

  it('is replaced when it is silent', async () => {
    const page = await open();
    await isConnected(page);
    test.proxy.mode = 'stall';
    await page.getByText('Mất kết nối.').waitFor();
    test.proxy.reset();
    test.proxy.mode = 'pass';
    await isConnected(page);
    await send('Sau khi im lặng');
    await said(page, 'Sau khi im lặng').waitFor();
    await page.close();
  });

  it('is not needed for a message to survive a reload', async () => {
    const page = await open();
    await isConnected(page);
    test.proxy.mode = 'down';
    await write(page, 'Trước khi tải lại');
    await page.getByText('Đang gửi').waitFor();
    await page.reload();
    test.proxy.mode = 'pass';
    await until(async () => (await posted('Trước khi tải lại')) === 1, 'the message');
    await page.getByRole('article').filter({ hasText: 'Trước khi tải lại' }).waitFor();
    await test.screenshot(page, '22-reloaded');
    assert.equal(await posted('Trước khi tải lại'), 1);
    await page.close();
  });

  it('is shared by eight tabs, also when the tab that has it is closed', async () => {
    const first = await open();
    const context = first.context();
    const streams: Page[] = [];
    context.on('request', (request) => {
      if (request.url().endsWith('/Subscribe')) streams.push(request.frame().page());
    });
    await first.reload();
    await isConnected(first);
    const tabs = [first];
    while (tabs.length < TABS) tabs.push(await test.openTab(context, lan, `#/c/${channelId}`));
    await Promise.all(tabs.map(isConnected));
    await send('Cho tám thẻ');
    await Promise.all(tabs.map((tab) => said(tab, 'Cho tám thẻ').waitFor()));
    assert.equal(streams.filter((page) => page !== undefined).length, 1);
    await test.screenshot(tabs[TABS - 1] ?? first, '23-eighth-tab');
    await first.close();
    const others = tabs.slice(1);
    // Until it is gone, the first one may pass messages on.
    await until(() => streams.length === 2, 'the stream of another tab');
    await send('Cho bảy thẻ');
    await Promise.all(others.map((tab) => said(tab, 'Cho bảy thẻ').waitFor()));
    assert.equal(streams.length, 2);
    await context.close();
  });

  it('continues with a new token when one expires', async () => {
    test.tokens.seconds = TOKEN_SECONDS;
    const page = await open();
    let streams = 0;
    page.on('request', (request) => {
      if (request.url().endsWith('/Subscribe')) streams += 1;
    });
    await isConnected(page);
    const { issued } = test.tokens;
    await until(() => streams >= 2 && test.tokens.issued > issued, 'a stream with the next token', 30_000);
    await send('Sau khi hết hạn');
    await said(page, 'Sau khi hết hạn').waitFor();
    await write(page, 'Với mã mới');
    await until(async () => (await posted('Với mã mới')) === 1, 'the message');
    await test.screenshot(page, '24-token-replaced');
    await page.close();
  });
});

function said(page: Page, text: string) {
  return page.getByRole('log').getByText(text);
}

async function isConnected(page: Page): Promise<void> {
  await page.locator('.connection[data-state=open]').waitFor({ state: 'attached' });
}

async function write(page: Page, text: string): Promise<void> {
  await page.getByRole('textbox').fill(text);
  await page.keyboard.press('Enter');
}
