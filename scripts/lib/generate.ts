import { execFileSync } from 'node:child_process';

/** Writes the code generated from the protos into `folder`/gen. */
export function generate(folder: string): void {
  writeProtoDeps();
  execFileSync('buf', ['generate', '--output', folder], { stdio: 'inherit' });
}

/** What our protos import, without which buf can neither lint nor generate. */
export function writeProtoDeps(): void {
  execFileSync(process.execPath, ['scripts/proto-deps.ts'], { stdio: 'inherit' });
}
