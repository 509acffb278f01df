// Part of a release: dist/proto, as a folder and as an archive, has all that clients in other languages need.
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import packageJson from '../package.json' with { type: 'json' };
import { writeProtoDeps } from './lib/generate.ts';
import { writeBundle } from './lib/proto-bundle.ts';

const folder = join('dist', 'proto');
const archive = join('dist', `discuss-proto-${packageJson.version}.tar.gz`);

writeProtoDeps();
rmSync(folder, { recursive: true, force: true });
writeBundle(folder);
execFileSync('tar', ['--create', '--gzip', '--file', archive, '--directory', 'dist', 'proto'], {
  stdio: 'inherit',
});
console.log(`${folder}\n${archive}`);
