import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { bundlePage, type DemoPage, startDemoPage } from '../scripts/lib/demo-page.ts';

const lan = { userId: 101n, tenantId: 1n, name: 'Lan', title: { vi: 'Bán hàng', en: 'Sales' } };

describe('the server of the page', () => {
  let page: DemoPage;

  before(async () => {
    page = await startDemoPage({
      webUrl: 'http://127.0.0.1:8092',
      users: [lan],
      sign: async ({ userId }) => `token of ${userId}`,
    });
  });
  after(() => page.close());

  it('forbids code and styles from elsewhere, and text as HTML', async () => {
    const policy = (await fetch(page.url)).headers.get('content-security-policy') ?? '';
    for (const part of [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "require-trusted-types-for 'script'",
      "frame-ancestors 'none'",
    ])
      assert.ok(policy.split('; ').includes(part), `${part} in ${policy}`);
    assert.doesNotMatch(policy, /unsafe|\*/);
  });

  it('gives tokens to its own page only', async () => {
    const { host } = new URL(page.url);
    const body = JSON.stringify({ userId: '101' });
    assert.deepEqual(await post(page.url, { host, origin: page.url }, body), [200, 'token of 101']);
    assert.deepEqual(await post(page.url, { host, origin: page.url }, '{"userId":"999"}'), [404, '']);
    assert.deepEqual(await post(page.url, { host, origin: 'https://other.example' }, body), [403, '']);
    assert.deepEqual(await post(page.url, { host }, body), [403, '']);
    const rebound = 'other.example:8080';
    assert.deepEqual(await post(page.url, { host: rebound, origin: `http://${rebound}` }, body), [403, '']);
  });

  it('never parses text as HTML', async () => {
    const { script } = await bundlePage();
    const text = Buffer.from(script).toString();
    assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|srcdoc/);
  });
});

/** Not by fetch, which sets `host` itself. */
function post(url: string, headers: Record<string, string>, body: string): Promise<[number, string]> {
  return new Promise((resolve, reject) => {
    const call = request(`${url}/token`, { method: 'POST', headers }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve([response.statusCode ?? 0, text]));
    });
    call.on('error', reject);
    call.end(body);
  });
}
