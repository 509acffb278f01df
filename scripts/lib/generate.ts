import { execFileSync } from 'node:child_process';

/** Descriptors of the last released contract, against which `make check` looks for breaking changes. */
export const CONTRACT = 'proto/contract.binpb';

/** Writes the code generated from the protos into `folder`/gen. */
export function generate(folder: string): void {
  writeProtoDeps();
  execFileSync('buf', ['generate', '--output', folder], { stdio: 'inherit' });
}

/** Writes the current protos as the released contract. */
export function writeContract(): void {
  writeProtoDeps();
  execFileSync('buf', ['build', 'proto', '--exclude-source-info', '--output', CONTRACT], {
    stdio: 'inherit',
  });
}

/** Writes the protos that ours import, without which buf can neither lint nor generate. */
export function writeProtoDeps(): void {
  execFileSync(process.execPath, ['scripts/proto-deps.ts'], { stdio: 'inherit' });
}
