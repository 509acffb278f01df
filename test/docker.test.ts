import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { type Images, prepareReaper, REAPER_IMAGE, requireImage } from '../scripts/lib/docker.ts';

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
