import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Locator, Page } from 'playwright-core';
import sharp from 'sharp';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { FakeClamd } from '../kit/clamd.ts';
import { indexed } from '../kit/indexed.ts';
import { until } from '../kit/until.ts';
import { lan, mallory, minh, openPageTest, type PageTest, skip } from './kit.ts';

const LONG = 130;
/** More than a page of the history. */
const UNREAD = 60;
/** Width of a thumbnail in pixels. */
const THUMBNAIL = 256;

describe('the page', { skip }, () => {
  let test: PageTest;
  let clamd: FakeClamd;
  let groupId: bigint;
  let longId: bigint;

  before(async () => {
    clamd = await FakeClamd.open();
    test = await openPageTest({ CLAMD_ADDR: clamd.address, SCAN_INTERVAL_MS: '30' });
    groupId = await createGroup('Kho vận');
    longId = await createGroup('Lịch sử');
    for (let number = 1; number <= LONG; number += 1) await send(longId, `Tin số ${number}`);
  });
  after(async () => {
    await test?.close();
    await clamd?.close();
  });

  async function createGroup(name: string): Promise<bigint> {
    const memberUserIds = [minh.userId, mallory.userId];
    const { channel } = await test.the.client(ChannelService, lan).createChannel({ name, memberUserIds });
    return channel?.id ?? 0n;
  }

  async function send(channelId: bigint, content: string, as = lan): Promise<bigint> {
    const { message } = await test.the.client(MessageService, as).sendMessage({ channelId, content });
    return message?.id ?? 0n;
  }

  const open = (user: typeof lan, channelId = groupId) => test.open(user, `#/c/${channelId}`);

  it('shows a conversation of two users in two browsers', async () => {
    const [one, two] = [await open(lan), await test.open(minh)];
    await two.getByRole('link', { name: /Kho vận/ }).waitFor();
    await write(one, 'Chào anh, hàng đã về kho.');
    await two.getByRole('link', { name: /Kho vận, 1 tin chưa đọc.*hàng đã về/ }).waitFor();
    await test.screenshot(two, '01-unread');
    await two.getByRole('link', { name: /Kho vận/ }).click();
    await message(two, 'Chào anh, hàng đã về kho.').waitFor();
    await two.getByRole('textbox').pressSequentially('@lan');
    await two.getByRole('option', { name: /Nguyễn Thị Lan/ }).waitFor();
    await one.getByText('Trần Văn Minh đang nhập').waitFor();
    await test.screenshot(two, '02-mention');
    await two.keyboard.press('Enter');
    await two.keyboard.type('cảm ơn em!');
    await two.keyboard.press('Enter');
    const answer = message(one, '@Nguyễn Thị Lan cảm ơn em!');
    await answer.waitFor();
    assert.equal(await answer.locator('.mention.own').textContent(), '@Nguyễn Thị Lan');
    await answer.hover();
    await answer.getByRole('button', { name: 'Bày tỏ 👍' }).click();
    await message(two, '@Nguyễn Thị Lan cảm ơn em!')
      .getByRole('button', { name: /👍: Nguyễn Thị Lan/ })
      .waitFor();
    await answer.getByRole('button', { name: 'Trả lời trong chủ đề' }).click();
    const thread = one.getByRole('complementary', { name: 'Chủ đề' });
    await thread.getByRole('textbox').fill('Không có gì ạ.');
    await one.keyboard.press('Enter');
    await thread.getByText('Không có gì ạ.').waitFor();
    await test.screenshot(one, '03-thread');
    await message(two, '@Nguyễn Thị Lan cảm ơn em!').getByRole('link', { name: '1 trả lời' }).waitFor();
  });

  it('creates polls, and counts the votes of both users', async () => {
    const [one, two] = [await open(lan), await open(minh)];
    await one.getByRole('button', { name: 'Tạo bình chọn' }).click();
    await one.getByLabel('Câu hỏi').fill('Giao hàng ngày nào?');
    await one.getByLabel('Lựa chọn 1').fill('Thứ Hai');
    await one.getByLabel('Lựa chọn 2').fill('Thứ Ba');
    await test.screenshot(one, '04-poll-form');
    await one.getByRole('dialog').getByRole('button', { name: 'Gửi' }).click();
    for (const page of [one, two]) await page.getByRole('button', { name: /^Thứ Ba/ }).click();
    await one.getByRole('button', { name: 'Thứ Ba 2 · 100 %', pressed: true }).waitFor();
    await test.screenshot(two, '05-poll');
    await one.getByRole('button', { name: 'Kết thúc bình chọn' }).click();
    await two.getByText('Bình chọn đã kết thúc').waitFor();
  });

  it('edits and deletes messages by the keyboard alone, from the sign-in on', async () => {
    const [page, reader] = [await test.open(undefined), await open(minh)];
    await page.getByRole('button', { name: /Nguyễn Thị Lan/ }).waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('link', { name: /Kho vận/ }).waitFor();
    await page.getByLabel('Tìm cuộc trò chuyện').focus();
    await page.keyboard.type('kho van');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: /Kho vận/ }).waitFor();
    await page.keyboard.type('Giao ngày 3o');
    await page.keyboard.press('Enter');
    await message(reader, 'Giao ngày 3o').waitFor();
    await message(page, 'Giao ngày 3o').and(page.locator(':not(.pending)')).waitFor();
    await page.keyboard.press('ArrowUp');
    await page.keyboard.press('Backspace');
    await page.keyboard.type('0');
    await page.keyboard.press('Enter');
    await message(reader, 'Giao ngày 30 (đã sửa)').waitFor();
    await page.keyboard.press('Shift+Tab');
    for (let tabs = 0; tabs < 10 && !(await isFocused(page, 'article')); tabs += 1)
      await page.keyboard.press('Shift+Tab');
    await test.screenshot(page, '06-keyboard');
    await page.getByRole('toolbar').getByRole('button', { name: 'Xóa' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await reader.getByText('Tin nhắn này đã bị xóa.').waitFor();
  });

  it('reads the history in both directions, and jumps to what was found', async () => {
    await indexed(test.the);
    const page = await open(minh, longId);
    await page.getByText('Đây là khởi đầu của Lịch sử.').waitFor();
    await page.getByRole('button', { name: 'Đến tin mới nhất' }).click();
    await message(page, `Tin số ${LONG}`).waitFor();
    await scrollTo(page, 'Tin số 1', -1);
    await page.getByText('Đây là khởi đầu của Lịch sử.').waitFor();
    await page.getByRole('button', { name: 'Đến tin mới nhất' }).click();
    await page.reload();
    await page.getByRole('textbox').waitFor();
    await page.keyboard.press('Control+k');
    await page.getByRole('complementary', { name: 'Tìm tin nhắn' }).getByRole('searchbox').fill('"so 20"');
    await page.getByRole('link', { name: /Tin số 20/ }).click();
    await message(page, 'Tin số 20').and(page.locator('.highlight')).waitFor();
    await test.screenshot(page, '08-search');
    assert.equal(await message(page, `Tin số ${LONG}`).count(), 0);
    await page.keyboard.press('Escape');
    await scrollTo(page, `Tin số ${LONG}`, 1);
    // It would read what the next test posts.
    await page.close();
  });

  it('opens a conversation at the first unread message, also for the keyboard', async () => {
    const read = await send(longId, 'Đã đọc đến đây');
    await test.the.client(MemberService, minh).markRead({ channelId: longId, messageId: read });
    for (let number = 1; number <= UNREAD; number += 1) await send(longId, `Chưa đọc ${number}`);
    const page = await open(minh, longId);
    await page.getByRole('separator').filter({ hasText: 'Tin mới' }).waitFor();
    await until(() => isInView(page, message(page, 'Chưa đọc 1')), 'the first unread message');
    for (const place of [message(page, 'Đã đọc đến đây'), page.locator('.divider.unread')])
      assert.equal(await isInView(page, place), true);
    const newest = message(page, `Chưa đọc ${UNREAD}`);
    assert.equal(await isInView(page, newest), false);
    await test.screenshot(page, '07-new-messages');
    await page.getByRole('textbox').press('Shift+Tab');
    for (let tabs = 0; tabs < 10 && !(await isFocused(page, 'article')); tabs += 1)
      await page.keyboard.press('Shift+Tab');
    assert.equal(await page.locator('article:focus .text').textContent(), 'Chưa đọc 1');
    await page.keyboard.press('ArrowDown');
    assert.equal(await page.locator('article:focus .text').textContent(), 'Chưa đọc 2');
    await page.getByRole('button', { name: 'Đến tin mới nhất' }).click();
    await newest.waitFor();
    await page.getByRole('link', { name: /^Lịch sử, Chưa đọc/ }).waitFor();
    await page.reload();
    await until(() => isInView(page, newest), 'the newest message, because all are read');
    await page.close();
  });

  it('uploads a file with progress, and shows its thumbnail to the other user', async () => {
    const [one, two] = [await open(lan), await open(minh)];
    const noise = { type: 'gaussian', mean: 128, sigma: 40 } as const;
    const create = { width: 800, height: 500, channels: 3, background: 'teal', noise } as const;
    const buffer = await sharp({ create }).png().toBuffer();
    await one
      .locator('input[type=file]')
      .setInputFiles({ name: 'kệ hàng.png', mimeType: 'image/png', buffer });
    await one.locator('.tray .ready').waitFor();
    await write(one, 'Ảnh kệ hàng');
    await two.getByRole('img', { name: 'Hình kệ hàng.png' }).waitFor();
    const width = 'document.querySelector(".picture img").naturalWidth';
    await until(async () => (await two.evaluate(width)) === THUMBNAIL, 'the thumbnail');
    await test.screenshot(two, '09-file');
  });

  it('shows hostile messages and names as text', async () => {
    const hostile = [
      '<img src=x onerror="document.title=1"><script>document.title=2</script>',
      'invoice\u202egnp.exe \u2066\u202b\u200fمرحبا שלום',
      '😀'.repeat(10_000),
      `${'a'.repeat(3_000)} javascript:alert(1) https://example.com/<script>`,
    ];
    const channelId = await createGroup('<i>Hostile</i>');
    for (const content of hostile) await send(channelId, content, mallory);
    const page = await open(lan, channelId);
    await page.locator('article .text').nth(3).waitFor();
    assert.deepEqual(await page.locator('article .text').allTextContents(), hostile);
    assert.equal(await page.locator('article header strong').first().textContent(), '<b>Mallory</b>');
    assert.equal(await page.getByRole('heading', { level: 1 }).locator('i').count(), 0);
    assert.equal(await page.locator('article img, article script, article b').count(), 0);
    assert.deepEqual(await page.locator('article a').evaluateAll((links) => links.map(String)), [
      'https://example.com/',
    ]);
    assert.equal(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), true);
    await test.screenshot(page, '10-hostile');
    const phone = await openPhone(`#/c/${channelId}`);
    await phone.locator('article .text').nth(3).waitFor();
    await assertFits(phone);
  });

  it('fits a phone without scrolling to the side, in both languages', async () => {
    const phone = await openPhone('');
    await phone.getByRole('link', { name: /Kho vận/ }).waitFor();
    await assertFits(phone);
    await test.screenshot(phone, '11-phone-list');
    await phone.getByRole('link', { name: /Kho vận/ }).tap();
    await phone.getByRole('log').waitFor();
    await assertFits(phone);
    await test.screenshot(phone, '12-phone-conversation');
    await phone.getByRole('button', { name: 'Tìm tin nhắn' }).tap();
    await assertFits(phone);
    await phone.getByRole('button', { name: 'Đóng' }).tap();
    await phone.getByRole('link', { name: 'Về danh sách trò chuyện' }).tap();
    await phone.getByRole('button', { name: 'English' }).tap();
    await phone.getByPlaceholder('Find a conversation').waitFor();
    await assertFits(phone);
  });

  it('is dark where the browser is, and reports no error', async () => {
    const page = await test.open(minh, `#/c/${groupId}`, { colorScheme: 'dark', locale: 'en-US' });
    await page.getByRole('log', { name: 'Messages of Kho vận' }).waitFor();
    await message(page, '@Nguyễn Thị Lan cảm ơn em!').waitFor();
    await test.screenshot(page, '13-dark');
    assert.deepEqual(test.errors, []);
  });

  function openPhone(path: string): Promise<Page> {
    return test.open(lan, path, { viewport: { width: 360, height: 720 }, hasTouch: true, isMobile: true });
  }

  async function assertFits(page: Page): Promise<void> {
    const [width, shown] = [await page.evaluate('document.documentElement.scrollWidth'), 360];
    assert.equal(width, shown);
  }
});

function message(page: Page, text: string) {
  const hasText = exact(text);
  return page
    .getByRole('log')
    .first()
    .getByRole('article')
    .filter({ has: page.locator('.text', { hasText }) });
}

async function write(page: Page, text: string): Promise<void> {
  await page.getByRole('textbox').fill(text);
  await page.keyboard.press('Enter');
}

async function isInView(page: Page, place: Locator): Promise<boolean> {
  const [box, view] = await Promise.all(
    [place, page.locator('.scroller')].map(async (each) =>
      (await each.count()) > 0 ? each.boundingBox() : null,
    ),
  );
  if (box == null || view == null) return false;
  return box.y >= view.y && box.y + box.height <= view.y + view.height;
}

async function isFocused(page: Page, tag: string): Promise<boolean> {
  return page.evaluate(`document.activeElement.localName === '${tag}'`);
}

async function scrollTo(page: Page, text: string, direction: number): Promise<void> {
  await page.locator('.scroller').hover();
  for (let turns = 0; turns < 100 && (await message(page, text).count()) === 0; turns += 1)
    await page.mouse.wheel(0, 600 * direction);
  await message(page, text).waitFor();
}

function exact(text: string): RegExp {
  return new RegExp(`^${text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`);
}
