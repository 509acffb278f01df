import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { it } from 'node:test';
import {
  type Images,
  prepareContainer,
  prepareReaper,
  REAPER_IMAGE,
  requireImage,
} from '../scripts/lib/docker.ts';
import { scratchFolder } from '../scripts/lib/processes.ts';

/** An engine with some images and without a network. */
function offline(...present: string[]): Images {
  return {
    exists: async (image) => present.includes(image),
    pull: () => Promise.reject(new Error('dial tcp: lookup registry-1.docker.io: no such host')),
  };
}

it('an image that the Docker engine cannot fetch is named, with the cause', async () => {
  await assert.rejects(
    requireImage(offline(), 'postgres:17-alpine'),
    /does not have the image postgres:17-alpine and cannot fetch it: dial tcp/,
  );
  await requireImage(offline('postgres:17-alpine'), 'postgres:17-alpine');
});

it('the image of the reaper is optional', async () => {
  const lines: string[] = [];
  const env: Record<string, string | undefined> = {};
  await prepareReaper(offline(), env, (line) => lines.push(line));
  assert.equal(env['TESTCONTAINERS_RYUK_DISABLED'], 'true');
  assert.match(lines.join(), new RegExp(`${REAPER_IMAGE}.*no such host.*will remain`));

  const present: Record<string, string | undefined> = {};
  await prepareReaper(offline(REAPER_IMAGE), present, assert.fail);
  assert.equal(present['TESTCONTAINERS_RYUK_DISABLED'], undefined);
});

it('the image of the reaper is that of the package', () => {
  const source = readFileSync('node_modules/testcontainers/build/reaper/reaper.js', 'utf8');
  assert.ok(source.includes(`"${REAPER_IMAGE}"`));
});

it('an error that the engine reports while it fetches an image is the cause', async (t) => {
  const folder = scratchFolder('discuss-engine');
  const path = join(folder.path, 'engine.sock');
  const error = 'Get "https://registry-1.docker.io/v2/": no such host';
  // As Podman and, once it has begun, the Docker engine do, with status 200.
  const engine = createServer(({ url = '' }, response) => {
    const isPull = url.includes('/images/create');
    const isMissing = url.includes('/images/') && !isPull;
    response.writeHead(isMissing ? 404 : 200, { 'content-type': 'application/json' });
    if (isPull) response.end(`${JSON.stringify({ progressDetail: {}, error })}\n`);
    else response.end(JSON.stringify(isMissing ? { message: 'no such image' } : {}));
  }).listen(path);
  await once(engine, 'listening');
  const before = process.env['DOCKER_HOST'];
  process.env['DOCKER_HOST'] = `unix://${path}`;
  t.after(() => {
    if (before === undefined) delete process.env['DOCKER_HOST'];
    else process.env['DOCKER_HOST'] = before;
    engine.closeAllConnections();
    engine.close();
    folder.remove();
  });
  await assert.rejects(prepareContainer('postgres:17-alpine', assert.fail), {
    message: `the Docker engine does not have the image postgres:17-alpine and cannot fetch it: ${error}`,
  });
});
