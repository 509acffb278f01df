import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  type Images,
  prepareContainer,
  prepareReaper,
  REAPER_IMAGE,
  removeContainers,
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

describe('an engine', () => {
  const folder = scratchFolder('discuss-engine');
  const path = join(folder.path, 'engine.sock');
  const host = process.env['DOCKER_HOST'];
  const error = 'Get "https://registry-1.docker.io/v2/": no such host';
  const requests: string[] = [];
  const engine = createServer(({ method, url = '' }, response) => {
    requests.push(`${method} ${decodeURIComponent(url)}`);
    const [status, body] = respond(url);
    response.writeHead(status, { 'content-type': 'application/json' }).end(body);
  });

  function respond(url: string): [number, string] {
    // As Podman and, once it has begun, the Docker engine do.
    if (url.includes('/images/create')) return [200, `${JSON.stringify({ progressDetail: {}, error })}\n`];
    if (url.includes('/images/')) return [404, JSON.stringify({ message: 'no such image' })];
    if (url.includes('/containers/json')) return [200, JSON.stringify([{ Id: 'left' }])];
    return [200, '{}'];
  }

  before(async () => {
    await once(engine.listen(path), 'listening');
    process.env['DOCKER_HOST'] = `unix://${path}`;
  });
  after(() => {
    if (host === undefined) delete process.env['DOCKER_HOST'];
    else process.env['DOCKER_HOST'] = host;
    engine.closeAllConnections();
    engine.close();
    folder.remove();
  });

  it('reports an error while it fetches an image, which is the cause', async () => {
    await assert.rejects(prepareContainer('postgres:17-alpine', assert.fail), {
      message: `the Docker engine does not have the image postgres:17-alpine and cannot fetch it: ${error}`,
    });
  });

  it('removes the containers that a run has left', async () => {
    requests.length = 0;
    await removeContainers('run-1');
    const [listed = '', removed = ''] = requests;
    assert.match(listed, /^GET .*"discuss\.run=run-1"/);
    assert.match(removed, /^DELETE \S*\/containers\/left\?.*force=true/);
  });
});
