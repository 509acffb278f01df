import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from 'playwright-core';
import { openChromium } from '../../scripts/lib/chromium.ts';
import { type DemoPageUser, startDemoPage } from '../../scripts/lib/demo-page.ts';
import { freePort } from '../../scripts/lib/processes.ts';
import { type App, app } from '../kit/app.ts';
import { FaultProxy } from '../kit/fault-proxy.ts';
import { freshStorage } from '../kit/storage.ts';

/** What the page looked like in each state, for reviews. */
const SCREENSHOTS = join('.dev', 'screenshots');

const UNPACK_MS = 30_000;

const program = await openChromium(console.log, AbortSignal.timeout(UNPACK_MS)).catch(
  (error: Error) => error,
);

/** Why there is no browser; false if there is one. */
export const skip = program instanceof Error ? `${program.message}: ${program.cause}` : false;

export async function launchBrowser(): Promise<Browser> {
  if (program instanceof Error) throw program;
  const env = { ...process.env, LD_LIBRARY_PATH: program.libraries };
  return chromium.launch({ executablePath: program.file, args: ['--no-sandbox'], env });
}

export const lan = pageUser(101n, 'Nguyễn Thị Lan');
export const minh = pageUser(102n, 'Trần Văn Minh');
export const mallory = pageUser(103n, '<b>Mallory</b>');

export function pageUser(userId: bigint, name: string): DemoPageUser {
  return { userId, tenantId: 1n, name, title: { vi: 'Nhân viên', en: 'Employee' } };
}

export type PageTest = {
  readonly the: App;
  /** Between the page and the service. */
  readonly proxy: FaultProxy;
  /** Seconds for which tokens are valid, and how many were issued. */
  readonly tokens: { seconds: number; issued: number };
  /** What pages reported, such as violations of their policy. */
  readonly errors: string[];
  /** Opens the page in a browser of its own, signed in as a user unless there is none. */
  open(user: DemoPageUser | undefined, path?: string, options?: BrowserContextOptions): Promise<Page>;
  openTab(context: BrowserContext, user: DemoPageUser, path?: string): Promise<Page>;
  screenshot(page: Page, name: string): Promise<void>;
  close(): Promise<void>;
};

/** The service and the page of examples/web, as `npm start` runs them, and a browser. */
export async function openPageTest(
  env: Record<string, string> = {},
  users: readonly DemoPageUser[] = [lan, minh, mallory],
): Promise<PageTest> {
  const [port, storage, browser] = await Promise.all([freePort(), freshStorage(), launchBrowser()]);
  const the = await app({ ...storage.env, WEB_ORIGINS: `http://localhost:${port}`, ...env });
  const webPort = Number(the.instances[0]?.webAddress.split(':').at(-1));
  const proxy = await FaultProxy.open(webPort, false);
  const tokens = { seconds: 3_600, issued: 0 };
  const errors: string[] = [];
  const server = await startDemoPage({
    port,
    webUrl: `${env['WEB_TLS_CERT'] === undefined ? 'http' : 'https'}://127.0.0.1:${proxy.port}`,
    storageUrl: storage.env['S3_ENDPOINT'] ?? '',
    users,
    sign(user) {
      tokens.issued += 1;
      return the.tokens.sign({ ...user, expiresIn: tokens.seconds, tokenId: crypto.randomUUID() });
    },
  });
  mkdirSync(SCREENSHOTS, { recursive: true });

  async function openTab(context: BrowserContext, user: DemoPageUser | undefined, path = ''): Promise<Page> {
    const page = await context.newPage();
    page.on('pageerror', ({ message }) => errors.push(message));
    page.on('console', (message) => {
      // Failed requests are part of some tests.
      if (message.type() === 'error' && !message.text().includes('ERR_')) errors.push(message.text());
    });
    await page.goto(`${server.url}/${user === undefined ? '' : `?user=${user.userId}`}${path}`);
    return page;
  }

  return {
    the,
    proxy,
    tokens,
    errors,
    openTab,
    async open(user, path, options) {
      const viewport = { width: 1_280, height: 800 };
      return openTab(await browser.newContext({ locale: 'vi-VN', viewport, ...options }), user, path);
    },
    async screenshot(page, name) {
      await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
    },
    async close() {
      await browser.close();
      await server.close();
      await proxy.close();
      await the.close();
      await storage.close();
    },
  };
}
