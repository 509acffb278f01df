import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { TestAuthority } from '../kit/edge/certificates.ts';
import { openPageTest, type PageTest, pageUser, skip } from './kit.ts';

// More than the six connections that a browser opens to a host over HTTP/1.1.
const TABS = 8;
const users = Array.from({ length: TABS }, (_, index) =>
  pageUser(101n + BigInt(index), `Nhân viên ${index}`),
);
const [lan] = users as [(typeof users)[0]];

describe('the page over TLS', { skip }, () => {
  let authority: TestAuthority;
  let test: PageTest;

  before(async () => {
    authority = await TestAuthority.create();
    const { cert, key } = await authority.issue('server');
    const files = { WEB_TLS_CERT: authority.write('cert', cert), WEB_TLS_KEY: authority.write('key', key) };
    test = await openPageTest(files, users);
  });
  after(async () => {
    await test?.close();
    authority?.[Symbol.dispose]();
  });

  it('has a stream for each of eight users in one browser, over one HTTP/2 connection', async () => {
    const { channel } = await test.the
      .client(ChannelService, lan)
      .createChannel({ name: 'Kho vận', memberUserIds: users.map(({ userId }) => userId) });
    const channelId = channel?.id ?? 0n;
    const path = `#/c/${channelId}`;
    const first = await test.open(lan, path, { ignoreHTTPSErrors: true });
    const tabs = [first];
    for (const user of users.slice(1)) tabs.push(await test.openTab(first.context(), user, path));
    for (const tab of tabs) await tab.locator('.connection[data-state=open]').waitFor({ state: 'attached' });
    const session = await first.context().newCDPSession(first);
    await session.send('Network.enable');
    const protocols: string[] = [];
    session.on('Network.responseReceived', ({ response }) => {
      if (response.url.includes('serp.discuss.v1')) protocols.push(response.protocol ?? '');
    });
    await first.getByRole('textbox').fill('Chào cả nhà');
    await first.keyboard.press('Enter');
    await Promise.all(tabs.map((tab) => tab.getByRole('log').getByText('Chào cả nhà').waitFor()));
    assert.deepEqual(new Set(protocols), new Set(['h2']));
    await test.screenshot(tabs[TABS - 1] ?? first, '25-tls');
  });
});
