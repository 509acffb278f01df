import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { build } from 'esbuild';

const FOLDER = join('examples', 'web');
const MAX_BODY_BYTES = 1_000;

export interface DemoPageUser {
  readonly userId: bigint;
  readonly tenantId: bigint;
  readonly name: string;
  readonly title: { readonly vi: string; readonly en: string };
}

export interface DemoPageOptions {
  readonly port?: number;
  /** Web edge of the service. */
  readonly webUrl: string;
  /** Store of files; undefined if there is none. */
  readonly storageUrl?: string;
  readonly users: readonly DemoPageUser[];
  /** Names of more users of the tenant, without a card on the sign-in page. */
  readonly names?: readonly { readonly userId: bigint; readonly name: string }[];
  readonly sign: (user: DemoPageUser) => Promise<string>;
}

export interface DemoPage {
  readonly url: string;
  close(): Promise<void>;
}

type File = { readonly type: string; readonly content: string | Uint8Array };

/**
 * Serves examples/web on this machine, and issues tokens of demo users to it, without a password: it stands for the
 * identity provider of a deployment.
 */
export async function startDemoPage(options: DemoPageOptions): Promise<DemoPage> {
  const files = await readFiles(options);
  const server = createServer((request, response) => {
    respond(options, files, request, response).catch(() => send(response, 500));
  });
  const port = await listen(server, options.port ?? 0);
  return {
    url: `http://localhost:${port}`,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

/** The page's code with the client package and all that it imports, and its styles. */
export async function bundlePage(): Promise<{ readonly script: Uint8Array; readonly styles: Uint8Array }> {
  const { outputFiles } = await build({
    entryPoints: [join(FOLDER, 'src', 'main.ts'), join(FOLDER, 'app.css')],
    outdir: 'out',
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    tsconfig: join(FOLDER, 'tsconfig.json'),
    write: false,
    logLevel: 'silent',
  });
  const find = (end: string) =>
    outputFiles.find(({ path }) => path.endsWith(end))?.contents ?? new Uint8Array();
  return { script: find('.js'), styles: find('.css') };
}

async function readFiles({ webUrl, users, names = [] }: DemoPageOptions): Promise<ReadonlyMap<string, File>> {
  const { script, styles } = await bundlePage();
  const shown = users.map(({ userId, name, title }) => ({ id: `${userId}`, name, title }));
  const others = names.map(({ userId, name }) => ({ id: `${userId}`, name }));
  const config = JSON.stringify({ webUrl, users: shown, others });
  return new Map<string, File>([
    ['/', { type: 'text/html; charset=utf-8', content: readFileSync(join(FOLDER, 'index.html')) }],
    ['/icon.svg', { type: 'image/svg+xml', content: readFileSync(join(FOLDER, 'icon.svg')) }],
    ['/app.js', { type: 'text/javascript', content: script }],
    ['/app.css', { type: 'text/css', content: styles }],
    ['/config.json', { type: 'application/json', content: config }],
  ]);
}

async function respond(
  options: DemoPageOptions,
  files: ReadonlyMap<string, File>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  // A name of another site that resolves to this machine must not get a token.
  if (!/^(localhost|127\.0\.0\.1):\d+$/.test(request.headers.host ?? '')) return send(response, 403);
  const path = new URL(request.url ?? '/', 'http://page').pathname;
  if (request.method === 'POST' && path === '/token') return sendToken(options, request, response);
  const isRead = request.method === 'GET' || request.method === 'HEAD';
  const file = isRead ? files.get(path) : undefined;
  if (file === undefined) return send(response, 404);
  for (const [name, value] of securityHeaders(options)) response.setHeader(name, value);
  response.writeHead(200, { 'content-type': file.type, 'cache-control': 'no-store' }).end(file.content);
}

function securityHeaders({
  webUrl,
  storageUrl = '',
}: DemoPageOptions): readonly (readonly [string, string])[] {
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    `connect-src 'self' ${webUrl} ${storageUrl}`,
    `img-src 'self' data: ${storageUrl}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ];
  return [
    ['content-security-policy', policy.join('; ')],
    ['x-content-type-options', 'nosniff'],
    ['referrer-policy', 'no-referrer'],
    ['cross-origin-opener-policy', 'same-origin'],
  ];
}

async function sendToken(
  { users, sign }: DemoPageOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { origin, host } = request.headers;
  if (origin !== `http://${host}`) return send(response, 403);
  const wanted = await readUserId(request);
  const user = users.find(({ userId }) => `${userId}` === wanted);
  if (user === undefined) return send(response, 404);
  response
    .writeHead(200, { 'content-type': 'text/plain', 'cache-control': 'no-store' })
    .end(await sign(user));
}

async function readUserId(request: IncomingMessage): Promise<string | undefined> {
  let body = '';
  for await (const chunk of request) {
    body += chunk;
    if (body.length > MAX_BODY_BYTES) return undefined;
  }
  return /"userId":"(\d+)"/.exec(body)?.[1];
}

async function listen(server: Server, port: number): Promise<number> {
  await new Promise<void>((done, fail) => {
    server.once('error', fail);
    server.listen(port, '127.0.0.1', done);
  });
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}

function send(response: ServerResponse, status: number): void {
  response.writeHead(status).end();
}
