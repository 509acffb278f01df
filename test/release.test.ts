import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { findLicenceProblems } from '../scripts/lib/licences.ts';
import { releaseFiles } from '../scripts/lib/release-files.ts';

it('a release changes the version at every place that states it', () => {
  const files = releaseFiles('9.8.7', '2030-01-02');
  for (const [file, text] of files) assert.notEqual(text, readFileSync(file, 'utf8'), file);
  assert.equal(JSON.parse(files.get('package.json') ?? '').version, '9.8.7');
  const lock = JSON.parse(files.get('package-lock.json') ?? '');
  assert.deepEqual([lock.version, lock.packages[''].version], ['9.8.7', '9.8.7']);
  assert.match(files.get('CHANGELOG.md') ?? '', /^## \[9\.8\.7\] - 2030-01-02$/m);
  assert.match(files.get('sql/functions/db/schema_version.sql') ?? '', /select '9\.8\.7', '0\.1\.0';/);
  assert.throws(() => releaseFiles('next', '2030-01-02'), /is not a version/);
});

it('packages of the image need a permitted licence', () => {
  assert.deepEqual(findLicenceProblems(), []);
  const problems = findLicenceProblems({
    '': { version: '1.0.0' },
    'node_modules/a': { version: '1.0.0', license: 'GPL-3.0-only' },
    'node_modules/b': { version: '1.0.0' },
    'node_modules/c': { version: '1.0.0', license: '(MIT OR GPL-3.0-only)' },
    'node_modules/d': { version: '1.0.0', license: 'MIT AND GPL-3.0-only' },
    'node_modules/e': { version: '1.0.0', license: 'GPL-3.0-only', dev: true },
    'node_modules/@img/sharp-libvips-linux-x64': { version: '1.0.0', license: 'LGPL-3.0-or-later' },
  });
  assert.deepEqual(
    problems.map((problem) => problem.split(' ')[0]),
    ['node_modules/a', 'node_modules/b', 'node_modules/d'],
  );
});
