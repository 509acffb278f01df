// usage: make release VERSION=1.2.3
// Writes the version, the released contract and migrations, and the files of a release to dist/; prints the rest.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { writeContract } from './lib/generate.ts';
import { findLicenceProblems } from './lib/licences.ts';
import { writeReleasedMigrations } from './lib/migration-rules.ts';
import { writeBundle } from './lib/proto-bundle.ts';
import { releaseFiles } from './lib/release-files.ts';

const DIST = 'dist';
const [version = ''] = process.argv.slice(2);

const date = new Date().toISOString().slice(0, 10);
const files = releaseFiles(version, date);
if (output('git', 'status', '--porcelain') !== '') fail('commit or discard your changes first');
const problems = findLicenceProblems();
if (problems.length > 0) fail(problems.join('\n'));
audit();
for (const [file, text] of files) writeFileSync(file, text);
writeContract();
writeReleasedMigrations();
mkdirSync(DIST, { recursive: true });
writeBundle(`${DIST}/proto`);
// With the optional packages: the native libraries of sharp, for all platforms.
const sbom = output('npm', 'sbom', '--sbom-format=cyclonedx', '--omit=dev', '--package-lock-only');
writeFileSync(`${DIST}/sbom.cdx.json`, sbom);
if (spawnSync(process.execPath, ['scripts/schema.ts'], { stdio: 'inherit' }).status !== 0)
  fail('make schema failed');

console.log(`Version ${version} is prepared; ${DIST}/ has the protos and the SBOM. Then:
  make check && npm test
  git add sql/migrations/released.txt && git commit --all --message "release: Release ${version}." && git tag v${version}
  make image IMAGE=discuss-service:${version}
  git push && git push --tags, push the image, and publish ${DIST}/
The next change adds "## [next version] - Unreleased" to CHANGELOG.md.`);

// Some registries do not serve advisories; then the release states so instead of passing silently.
function audit(): void {
  const { status, stdout } = spawnSync('npm', ['audit', '--omit=dev', '--json'], { encoding: 'utf8' });
  const report: { metadata?: { vulnerabilities?: Record<string, number> }; message?: string } = JSON.parse(
    stdout || '{}',
  );
  if (report.metadata === undefined)
    console.error(
      `npm audit: the registry has no advisories (${report.message ?? status}); check them elsewhere`,
    );
  else if (status !== 0) fail(`npm audit: ${JSON.stringify(report.metadata.vulnerabilities)}`);
}

function output(command: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (status !== 0) fail(`${command} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

function fail(reason: string): never {
  console.error(reason);
  process.exit(1);
}
